/**
 * `ottla console-producer`: lines of standard input as records. Input is read as fast as the producer's memory allows
 * (`--max-memory-bytes`), so that it may be of any size.
 */
import * as Effect from "effect/Effect"
import type { ClientError } from "../../core/client/ClientError.ts"
import { make, type Producer, type ProducerRecord } from "../../core/client/Producer.ts"
import { type Command, DONE, type ExitCode, FAILED, usage } from "./Command.ts"
import { isError, kafkaMessage } from "./KafkaErrors.ts"
import { LineSplitter, parseLine } from "./LineReader.ts"
import type { UsageError } from "./Options.ts"
import { flags, parseProducerCommand, type ProducerRequest } from "./ProducerCommand.ts"
import type { Terminal } from "./Terminal.ts"

const PROMPT = ">"

/** Told one by one; beyond that many only their count. */
const MAX_FAILURES_TOLD = 100

const sizeOf = (bytes: Uint8Array | null | undefined): string => (bytes === null || bytes === undefined ? "null" : `${bytes.length} bytes`)

/** Lines of the input, some at a time: those that one read of it ended. */
async function* linesOf(input: AsyncIterable<Uint8Array>): AsyncGenerator<ReadonlyArray<Uint8Array>, void, undefined> {
  const splitter = new LineSplitter()
  for await (const chunk of input) {
    const lines: Array<Uint8Array> = []
    splitter.push(chunk, (line) => void lines.push(line))
    yield lines
  }
  const last = splitter.end()
  if (last !== undefined) yield [last]
}

/** Sends without awaiting: what fails is told when its batch ends. */
class Sending {
  failures = 0
  readonly #producer: Producer
  readonly #tell: (line: string) => void
  constructor(producer: Producer, tell: (line: string) => void) {
    this.#producer = producer
    this.#tell = tell
  }

  /** @returns records from this one on that there is no room for yet */
  offerAll(records: ReadonlyArray<ProducerRecord>, from: number): number {
    for (let at = from; at < records.length; at += 1) {
      const record = records[at]!
      const taken = this.#producer.offer(record, (result) => {
        if (isError(result)) this.failed(record, result)
      })
      if (taken === "Full") return at
      if (taken !== "Accepted") this.failed(record, taken)
    }
    return records.length
  }

  failed(record: ProducerRecord, error: ClientError): void {
    this.failures += 1
    if (this.failures > MAX_FAILURES_TOLD) return
    this.#tell(`Error when sending message to topic ${record.topic} with key: ${sizeOf(record.key)}, value: ${sizeOf(record.value)} with error: ${kafkaMessage(error)}`)
  }
}

/** Flushed, for a batch of one waits for no others: Kafka's tool lets it wait `--timeout`, a second a line. */
const sendAlone = (producer: Producer, record: ProducerRecord): Effect.Effect<unknown, ClientError> =>
  Effect.gen(function*() {
    const handle = yield* producer.enqueue(record)
    yield* producer.flush
    return yield* handle.acknowledged
  })

const produce = (producer: Producer, request: ProducerRequest, terminal: Terminal): Effect.Effect<ExitCode, UsageError | ClientError> =>
  Effect.gen(function*() {
    const { reader, sync, topic } = request
    const sending = new Sending(producer, (line) => void Effect.runFork(terminal.err(line, "red")))
    const prompt = terminal.interactive ? terminal.out(PROMPT) : Effect.void
    const lines = linesOf(terminal.input)
    let lineNumber = 0
    yield* prompt
    for (;;) {
      const next = yield* Effect.tryPromise({ try: () => lines.next(), catch: (error) => error as UsageError })
      if (next.done === true) break
      const records: Array<ProducerRecord> = []
      // what came before a line that is wrong is still sent
      let wrong: UsageError | undefined
      for (const line of next.value) {
        try {
          records.push({ topic, ...parseLine(reader, line, lineNumber += 1) })
        } catch (error) {
          wrong = error as UsageError
          break
        }
      }
      if (sync) for (const record of records) yield* sendAlone(producer, record)
      for (let at = sync ? records.length : sending.offerAll(records, 0); at < records.length; at = sending.offerAll(records, at)) {
        // no memory in time, or no such topic: this record has failed, the next may do better
        const refused = yield* Effect.match(producer.ready(records[at]!), { onFailure: (error) => error, onSuccess: () => undefined })
        if (refused !== undefined) sending.failed(records[at++]!, refused)
      }
      if (wrong !== undefined) {
        yield* producer.flush
        return yield* Effect.fail(wrong)
      }
      if (next.value.length > 0) yield* prompt
    }
    yield* producer.flush
    if (sending.failures === 0) return DONE
    yield* terminal.err(`${sending.failures} records were not acknowledged`, "red")
    return FAILED
  })

export const command: Command = {
  name: "console-producer",
  usage: "--bootstrap-server HOST:PORT --topic NAME [flags] < lines",
  summary: "Sends the lines of standard input as records, as Kafka's kafka-console-producer. Exit code 1 when a record was not acknowledged.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const request = yield* usage(() => parseProducerCommand(parsed))
      for (const warning of request.warnings) yield* terminal.err(warning, "yellow")
      const producer = yield* make(request.config)
      return yield* produce(producer, request, terminal)
    })
}

