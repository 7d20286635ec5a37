/**
 * `ottla console-consumer`: prints records until it has printed enough, none comes for long enough, nobody reads its
 * output or a signal ends it. Reads on only when what it printed has been taken.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { ClientError } from "../../core/client/ClientError.ts"
import type { TopicPartition } from "../../core/client/ClusterView.ts"
import { type Consumer, make, type PartitionRecords } from "../../core/client/Consumer.ts"
import { monotonicNow } from "../../core/model/Time.ts"
import { type Command, DONE, type ExitCode, FAILED, usage } from "./Command.ts"
import { type ConsumerRequest, flags, parseConsumerCommand } from "./ConsumerCommand.ts"
import { DeserializationError } from "./Deserializers.ts"
import { format, Page } from "./Formatter.ts"
import { kafkaMessage } from "./KafkaErrors.ts"
import type { Terminal } from "./Terminal.ts"

/** The longest wait of one poll without a limit of time. */
const POLL_MS = 1000

const begin = (consumer: Consumer, { source }: ConsumerRequest): Effect.Effect<void, ClientError> => {
  switch (source._tag) {
    case "Topic":
      return consumer.subscribe({ topics: [source.topic] })
    case "Include":
      return consumer.subscribe({ pattern: source.pattern })
    case "Partition": {
      const { offset, partition, topic } = source
      const partitions: ReadonlyArray<TopicPartition> = [{ topic, partition }]
      if (typeof offset === "number") return consumer.assign([{ topic, partition, offset }])
      return Effect.andThen(
        consumer.assign(partitions),
        offset === "earliest" ? consumer.seekToBeginning(partitions) : consumer.seekToEnd(partitions)
      )
    }
  }
}

/** What was printed of a poll. */
interface Printed {
  readonly count: number
  /** Where to go on, of partitions that were not printed to their end. */
  readonly unread: ReadonlyArray<TopicPartition & { readonly offset: number }>
  /** A record that cannot be printed. */
  readonly error: DeserializationError | undefined
  readonly skipped: ReadonlyArray<DeserializationError>
}

/** Appends the records of a poll, at most `limit`. */
export const printPoll = (
  page: Page,
  polled: ReadonlyArray<PartitionRecords>,
  request: Pick<ConsumerRequest, "formatter" | "skipOnError">,
  limit: number
): Printed => {
  const unread: Array<TopicPartition & { readonly offset: number }> = []
  const skipped: Array<DeserializationError> = []
  let count = 0
  let error: DeserializationError | undefined
  for (const { partition, records, topic } of polled) {
    for (const record of records) {
      if (count >= limit || error !== undefined) {
        unread.push({ topic, partition, offset: record.offset })
        break
      }
      count += 1
      if (request.formatter === undefined) continue
      const before = page.length
      try {
        if (typeof request.formatter === "function") request.formatter(record, page)
        else format(request.formatter, record, page)
      } catch (thrown) {
        if (!(thrown instanceof DeserializationError)) throw thrown
        page.cut(before)
        if (request.skipOnError) skipped.push(thrown)
        else error = thrown
      }
    }
  }
  return { count, unread, error, skipped }
}

const consume = (consumer: Consumer, request: ConsumerRequest, terminal: Terminal): Effect.Effect<ExitCode> => {
  const page = new Page()
  const { maxMessages = Infinity, timeoutMs = Infinity } = request
  let total = 0
  const loop = Effect.gen(function*() {
    yield* begin(consumer, request)
    let lastMs = yield* monotonicNow
    while (total < maxMessages) {
      const polled = yield* consumer.poll({ timeoutMs: Math.min(POLL_MS, timeoutMs) })
      const nowMs = yield* monotonicNow
      if (polled.length === 0) {
        if (nowMs - lastMs > timeoutMs) return DONE
        continue
      }
      lastMs = nowMs
      const { count, error, skipped, unread } = printPoll(page, polled, request, maxMessages - total)
      total += count
      const taken = page.length === 0 || (yield* terminal.out(page.take()))
      for (const one of skipped) yield* terminal.err(`Error processing message, skipping this message: ${one.message}`, "red")
      // what was not printed is not committed as read
      for (const { offset, partition, topic } of unread) yield* consumer.seek({ topic, partition }, offset)
      if (error !== undefined) {
        yield* terminal.err(`Unknown error when running consumer: ${error.message}`, "red")
        return FAILED
      }
      if (!taken) {
        yield* terminal.err("Unable to write to standard out, closing consumer.")
        return DONE
      }
    }
    return DONE
  })
  const ended = Effect.suspend(() => terminal.err(`Processed a total of ${total} messages`))
  return loop.pipe(
    Effect.catch((error) => Effect.as(terminal.err(`Error processing message, terminating consumer process: ${kafkaMessage(error)}`, "red"), FAILED)),
    // the group sees it go before the count is told; both also after a signal
    Effect.ensuring(Effect.andThen(consumer.close, ended)),
    Effect.ensuring(request.tellShutdown ? terminal.out("shutdown_complete\n") : Effect.void)
  )
}

export const command: Command = {
  name: "console-consumer",
  usage: "--bootstrap-server HOST:PORT --topic NAME [--from-beginning] [flags]",
  summary: "Prints the records of topics on standard output, as Kafka's kafka-console-consumer. Ctrl-C ends it.",
  flags,
  run: (parsed, terminal) =>
    Effect.gen(function*() {
      const random = yield* Random.next
      const request = yield* usage(() => parseConsumerCommand(parsed, random))
      for (const warning of request.warnings) yield* terminal.err(warning, "yellow")
      const consumer = yield* make(request.config)
      return yield* consume(consumer, request, terminal)
    })
}
