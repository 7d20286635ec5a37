/**
 * Connections of group members. A broker holds back the answer to a join or a sync until other members came, so each
 * member has a connection of its own, on which one request waits at a time.
 */
import { type Answer, Caller } from "../../scripts/peers/Calls.ts"
import { PeerError, sleep } from "../../scripts/peers/Processes.ts"
import type { Fields, Request } from "./World.ts"

/** An answer that nothing holds back is there by then; later ones are awaited only when the other broker has them. */
const PARK_MS = 40
/** Longer than any time after which a broker must answer. */
const LINE_MS = 120_000

interface Line {
  readonly caller: Caller
  step: Request | undefined
  answer: Answer | undefined
  answered: Promise<unknown>
}

export interface LateAnswer {
  readonly line: string
  readonly step: Request
  readonly answer: Answer
}

export class Lines {
  readonly #host: string
  readonly #port: number
  readonly #lines = new Map<string, Line>()

  constructor(host: string, port: number) {
    this.#host = host
    this.#port = port
  }

  /** Sends, and waits a little for the answer. @throws PeerError when that line still waits for an earlier one */
  async send(name: string, step: Request, fields: Fields): Promise<void> {
    const line = this.#lines.get(name) ?? { caller: await Caller.connect(this.#host, this.#port), step: undefined, answer: undefined, answered: Promise.resolve() }
    if (line.step !== undefined) throw new PeerError(`${name} still waits for ${line.step.api}`)
    this.#lines.set(name, line)
    line.step = step
    line.answer = undefined
    line.answered = line.caller.call(step.api, step.version, fields, LINE_MS).then((answer) => {
      line.answer = answer
    })
    await Promise.race([line.answered, sleep(PARK_MS)])
  }

  /** Who waits, in the order of names. */
  waiting(): ReadonlyArray<string> {
    return Array.from(this.#lines).filter(([, line]) => line.step !== undefined && line.answer === undefined).map(([name]) => name).sort()
  }

  /** The answers that came since the last call, in the order of names. */
  take(): ReadonlyArray<LateAnswer> {
    const late: Array<LateAnswer> = []
    for (const [name, line] of Array.from(this.#lines).sort(([a], [b]) => a < b ? -1 : 1)) {
      if (line.step === undefined || line.answer === undefined) continue
      late.push({ line: name, step: line.step, answer: line.answer })
      line.step = undefined
      line.answer = undefined
    }
    return late
  }

  close(): void {
    for (const { caller } of this.#lines.values()) caller.close()
    this.#lines.clear()
  }
}
