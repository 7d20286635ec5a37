/** A terminal of the test's, and what a command prints on it. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { type Command, type Ports, runCommand } from "../../../adapters/cli/Command.ts"
import { UsageError } from "../../../adapters/cli/Options.ts"
import type { Terminal } from "../../../adapters/cli/Terminal.ts"
import type { TestBroker } from "../../client/TestBrokers.ts"

export interface Ran {
  readonly code: number
  readonly out: string
  readonly err: string
}

export interface Screen extends Terminal {
  readonly printed: () => string
  readonly told: () => string
}

/** Keeps what is printed. `onOut` says whether somebody still reads. */
export const screen = (input: AsyncIterable<Uint8Array> = pieces(""), onOut: (printed: string) => boolean = () => true): Screen => {
  let [out, err] = ["", ""]
  const decoder = new TextDecoder()
  return {
    out: (data) =>
      Effect.sync(() => {
        out += typeof data === "string" ? data : decoder.decode(data)
        return onOut(out)
      }),
    err: (line) =>
      Effect.sync(() => {
        err += `${line}\n`
      }),
    input,
    interactive: false,
    printed: () => out,
    told: () => err
  }
}

/** Text as standard input gives it: in reads of a few bytes. */
export async function* pieces(text: string, size = 7): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

export const runOn = (broker: TestBroker, command: Command, line: ReadonlyArray<string>, terminal: Screen): Effect.Effect<Ran, never, Ports> =>
  Effect.gen(function*() {
    const ports = Layer.succeedContext(yield* Effect.context<Ports>())
    const code = yield* runCommand(command, ["--bootstrap-server", broker.bootstrap, ...line], ports, terminal)
    return { code, out: terminal.printed(), err: terminal.told() }
  })

export const run = (broker: TestBroker, command: Command, line: string, input = ""): Effect.Effect<Ran, never, Ports> =>
  runOn(broker, command, line.split(" "), screen(pieces(input)))

/** What is told of a wrong command line, or "not wrong". */
export const usageErrorOf = (run: () => unknown): string => {
  try {
    run()
    return "not wrong"
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return error.message
  }
}
