/** What the interop checks share: a broker, a text, assertions that say what was expected. */
import type { Peer } from "../../scripts/peers/Processes.ts"
import type { RunResult } from "../../scripts/peers/Processes.ts"

export interface InteropContext {
  /** Restarted by checks that stop it: ask for it when it is used. */
  peer: Peer
  readonly short: boolean
  /** For files of a check. */
  readonly directory: string
  readonly textFile: string
  readonly textDigest: string
  readonly lines: number
  /** Starts the broker under test once more, on a data directory that another left. */
  readonly startOn: (dataDirectory: string, overrides?: ReadonlyArray<string>) => Promise<Peer>
}

export interface Check {
  readonly name: string
  readonly run: (context: InteropContext) => Promise<void>
}

export class CheckFailed extends Error {
  readonly _tag = "CheckFailed"
}

export const expect = (condition: boolean, message: string): void => {
  if (!condition) throw new CheckFailed(message)
}

export const expectEqual = (got: unknown, expected: unknown, what: string): void => {
  const [a, b] = [JSON.stringify(got), JSON.stringify(expected)]
  if (a !== b) throw new CheckFailed(`${what}: got ${a?.slice(0, 600)}, expected ${b?.slice(0, 600)}`)
}

/** The tool ended well and said what it should. */
export const expectSays = (result: RunResult, pattern: RegExp, what: string): void => {
  if (result.code !== 0 || !pattern.test(result.stdout)) {
    throw new CheckFailed(`${what}: exit code ${result.code}, expected ${pattern}\n${result.stdout.slice(0, 1500)}\n${result.stderr.slice(0, 2500)}`)
  }
}
