/** What a command reads and writes: the process's streams, or a test's. */
import * as Effect from "effect/Effect"
import process from "node:process"

export interface Terminal {
  /** Done when the bytes are handed on, which a slow reader of a pipe delays; false: nobody reads any more. */
  readonly out: (data: string | Uint8Array) => Effect.Effect<boolean>
  /** A line for people, on standard error; coloured on a terminal only. */
  readonly err: (line: string, colour?: "red" | "yellow") => Effect.Effect<void>
  /** Standard input, as it comes; not read ahead of who takes it. */
  readonly input: AsyncIterable<Uint8Array>
  /** Whether a person types and sees: both are a terminal. */
  readonly interactive: boolean
}

const colours = { red: "\u001b[31m", yellow: "\u001b[33m" } as const
const PLAIN = "\u001b[0m"

/** https://no-color.org: any value but an empty one. */
const mayColour = (stream: NodeJS.WriteStream): boolean => stream.isTTY === true && (process.env["NO_COLOR"] ?? "") === ""

/** The process's own. One per process: it listens for the end of standard output. */
export const processTerminal = (): Terminal => {
  let closed = false
  // EPIPE: the reader of a pipe has gone; without a listener it would end the process
  process.stdout.on("error", () => {
    closed = true
  })
  process.stderr.on("error", () => undefined)
  const write = (stream: NodeJS.WriteStream, data: string | Uint8Array): Effect.Effect<boolean> =>
    Effect.callback((resume) => {
      stream.write(data, (error) => resume(Effect.succeed(error === null || error === undefined)))
    })
  return {
    out: (data) => Effect.suspend(() => (closed ? Effect.succeed(false) : write(process.stdout, data))),
    err: (line, colour) => {
      const text = colour !== undefined && mayColour(process.stderr) ? `${colours[colour]}${line}${PLAIN}` : line
      return Effect.asVoid(write(process.stderr, `${text}\n`))
    },
    // opened by the command that reads it: others leave standard input alone
    get input() {
      return process.stdin as AsyncIterable<Uint8Array>
    },
    interactive: process.stdin.isTTY === true && process.stdout.isTTY === true
  }
}
