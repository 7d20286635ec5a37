/**
 * Where a consumer's positions are saved: with its group, or in a checkpoint file of its own. A store that fails is a
 * case of its own: {@link OffsetStoreError}, and what a delivery does about it is its policy.
 *
 * A checkpoint file belongs to one program that is assigned its partitions by hand: a group moves partitions between
 * members, and another member's file knows nothing of them.
 *
 * | line      | content                   | meaning                                              |
 * |-----------|---------------------------|------------------------------------------------------|
 * | 1         | `0`                       | version of the format                                |
 * | 2         | count                     | lines that follow                                    |
 * | 3 to end  | topic partition offset    | the offset of the next record to read, one a line    |
 *
 * Lines end with a line feed, fields are separated by one space: the format of Kafka's own checkpoint files. A file
 * that is not whole is refused by name: it is written beside the old one, synced and renamed, so a crash leaves the
 * old or the new one, never a part.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Scope } from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { topicNameError } from "../model/Ids.ts"
import { Disk, DiskError } from "../ports/Disk.ts"
import type { ClientError } from "./ClientError.ts"
import type { TopicPartition } from "./ClusterView.ts"
import { Consumer, type PartitionOffset } from "./Consumer.ts"

/**
 * - `Failed`: the store did not answer or refused. What was to be saved may have been saved all the same.
 * - `NotOwner`: the group has moved on; the positions are another member's to save now.
 * - `Corrupt`: what the store holds is not what it wrote.
 */
export type OffsetStoreReason = "Failed" | "NotOwner" | "Corrupt"

/** Positions could not be loaded or saved. */
export class OffsetStoreError extends Error {
  readonly _tag = "OffsetStoreError"
  readonly reason: OffsetStoreReason
  readonly operation: "load" | "save"
  /** The store's name. */
  readonly store: string
  override readonly cause: ClientError | DiskError | undefined
  constructor(
    reason: OffsetStoreReason,
    operation: "load" | "save",
    store: string,
    detail: string,
    cause?: ClientError | DiskError
  ) {
    super(`${operation} positions (${store}): ${detail}`)
    this.reason = reason
    this.operation = operation
    this.store = store
    this.cause = cause
  }
}

export interface OffsetStore {
  /** For messages: "group", "checkpoint positions/orders". */
  readonly name: string
  /** Where to begin. Partitions left out begin where the consumer says: its group's position, or `auto.offset.reset`. */
  readonly load: (
    partitions: ReadonlyArray<TopicPartition>
  ) => Effect.Effect<ReadonlyArray<PartitionOffset>, OffsetStoreError>
  /** When it is done, a crash at once after it finds these positions again; others keep theirs. */
  readonly save: (offsets: ReadonlyArray<PartitionOffset>) => Effect.Effect<void, OffsetStoreError>
}
export const OffsetStore: Context.Service<OffsetStore, OffsetStore> = Context.Service("ottla/client/OffsetStore")

/** A commit that fails so says that the group has given the partitions to others, or is about to. */
const MOVED: ReadonlySet<string> = new Set(["REBALANCE_IN_PROGRESS", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID"])

/** The positions of the consumer's group, in the broker. The consumer itself begins from them. */
export const group = (consumer: Pick<Consumer, "commit">): OffsetStore => ({
  name: "group",
  load: () => Effect.succeed([]),
  save: (offsets) =>
    offsets.length === 0
      ? Effect.void
      : Effect.mapError(consumer.commit(offsets), (error) =>
        new OffsetStoreError(MOVED.has(error.reason) ? "NotOwner" : "Failed", "save", "group", error.message, error))
})

/** {@link group} of the Consumer in the context. */
export const groupLayer: Layer.Layer<OffsetStore, never, Consumer> = Layer.effect(OffsetStore, Effect.map(Consumer, group))

/** Beyond this a file is not one of ours, in bytes: some hundred thousand partitions. */
const MAX_CHECKPOINT_BYTES = 16 * 1024 * 1024

const keyOf = (partition: TopicPartition): string => `${partition.topic} ${partition.partition}`

/** A file's positions by `topic partition`; a sentence when it is not whole. Pure. */
export const parseCheckpoint = (text: string): ReadonlyMap<string, PartitionOffset> | string => {
  const lines = text.split("\n")
  if (lines[0] !== "0") return `version ${JSON.stringify((lines[0] ?? "").slice(0, 20))} is not 0`
  const count = /^\d{1,9}$/.test(lines[1] ?? "") ? Number(lines[1]) : -1
  if (count < 0) return "the second line is no count"
  // The last line ends too: digits of a line that does not may be missing.
  if (lines.length !== count + 3 || lines[count + 2] !== "") return `${count} lines are announced, ${lines.length - 3} are there`
  const positions = new Map<string, PartitionOffset>()
  for (let i = 2; i < count + 2; i++) {
    const match = /^(\S+) (\d{1,10}) (\d{1,16})$/.exec(lines[i]!)
    const offset = Number(match?.[3])
    if (match === null || topicNameError(match[1]!) !== undefined || !Number.isSafeInteger(offset)) {
      return `line ${i + 1} is not "topic partition offset"`
    }
    const position = { topic: match[1]!, partition: Number(match[2]), offset }
    if (positions.has(keyOf(position))) return `line ${i + 1} names ${keyOf(position)} again`
    positions.set(keyOf(position), position)
  }
  return positions
}

/** What {@link parseCheckpoint} reads. Pure. */
export const showCheckpoint = (positions: Iterable<PartitionOffset>): string => {
  const lines = Array.from(positions, (position) => `${keyOf(position)} ${position.offset}\n`)
  return `0\n${lines.length}\n${lines.join("")}`
}

const attempt = <A>(run: () => A): Effect.Effect<A, DiskError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(run())
    } catch (error) {
      if (error instanceof DiskError) return Effect.fail(error)
      throw error
    }
  })

const readFile = (disk: Disk, path: string): string | undefined => {
  const stat = disk.stat(path)
  if (stat === undefined) return undefined
  const file = disk.open(path, "read")
  try {
    const bytes = new Uint8Array(Math.min(stat.size, MAX_CHECKPOINT_BYTES))
    return new TextDecoder().decode(bytes.subarray(0, file.read(bytes, 0)))
  } finally {
    file.close()
  }
}

/** A new file, synced, then renamed over the old one, then the directory synced. */
const replaceFile = (disk: Disk, directory: string, path: string, content: string): Effect.Effect<void, DiskError> => {
  const temporary = `${path}.tmp`
  return Effect.gen(function*() {
    const file = yield* attempt(() => {
      // One that a crash left: it may be longer than what is written now.
      disk.remove(temporary)
      return disk.open(temporary, "createNew")
    })
    yield* Effect.andThen(attempt(() => file.write([new TextEncoder().encode(content)], 0)), file.sync).pipe(
      Effect.ensuring(Effect.sync(() => file.close()))
    )
    yield* attempt(() => disk.rename(temporary, path))
    yield* disk.syncDirectory(directory)
  })
}

const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf("/")))

/** A directory with all its parents, whose names survive a crash of the machine too. */
const makeDirectory = (disk: Disk, path: string): Effect.Effect<void, DiskError> =>
  Effect.suspend(() => {
    const made: Array<string> = []
    for (let at = path; at !== parentOf(at) && disk.stat(at) === undefined; at = parentOf(at)) made.push(parentOf(at))
    return Effect.andThen(
      attempt(() => disk.makeDirectory(path)),
      Effect.forEach(made, (parent) => disk.syncDirectory(parent), { discard: true })
    )
  })

/**
 * Positions in a file, durable over a crash of the machine. Each save is one write, two syncs and a rename: take an
 * interval where that is too slow. `path.lock` keeps other processes away until the scope ends. Metadata and leader
 * epochs are not kept.
 *
 * Fails with `Failed` (`cause.kind` is "Busy" while another process has it) or `Corrupt`.
 */
export const checkpoint = (path: string): Effect.Effect<OffsetStore, OffsetStoreError, Disk | Scope> =>
  Effect.gen(function*() {
    const disk = yield* Disk
    const name = `checkpoint ${path}`
    const failed = (operation: "load" | "save") => (error: DiskError): OffsetStoreError =>
      new OffsetStoreError("Failed", operation, name, error.message, error)
    const file = disk.absolute(path)
    const directory = parentOf(file)
    const text = yield* makeDirectory(disk, directory).pipe(
      Effect.andThen(disk.lock(`${file}.lock`)),
      Effect.andThen(attempt(() => readFile(disk, file))),
      Effect.mapError(failed("load"))
    )
    const parsed = text === undefined ? new Map<string, PartitionOffset>() : parseCheckpoint(text)
    if (typeof parsed === "string") {
      return yield* Effect.fail(
        new OffsetStoreError("Corrupt", "load", name, `${parsed}; remove the file to begin without positions`)
      )
    }
    let positions: ReadonlyMap<string, PartitionOffset> = parsed
    // One replacement at a time: two would share the temporary file, and the later could carry older positions.
    const turn = yield* Semaphore.make(1)
    return {
      name,
      load: (partitions) =>
        Effect.sync(() => partitions.flatMap((partition) => positions.get(keyOf(partition)) ?? [])),
      save: (offsets) =>
        offsets.length === 0 ? Effect.void : turn.withPermits(1)(
          Effect.suspend(() => {
            const next = new Map(positions)
            for (const { offset, partition, topic } of offsets) next.set(keyOf({ topic, partition }), { topic, partition, offset })
            return Effect.andThen(
              replaceFile(disk, directory, file, showCheckpoint(next.values())),
              Effect.sync(() => {
                positions = next
              })
            )
          })
          // A save that was begun is ended: an interruption between its parts would leave its outcome unknown.
        ).pipe(Effect.mapError(failed("save")), Effect.uninterruptible)
    }
  })

/** {@link checkpoint} as a layer. */
export const checkpointLayer = (path: string): Layer.Layer<OffsetStore, OffsetStoreError, Disk> =>
  Layer.effect(OffsetStore, checkpoint(path))
