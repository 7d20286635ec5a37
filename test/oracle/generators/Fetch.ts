/** Fetch at every kind of offset, with sessions, bounds and epochs. */
import {
  type Fields,
  type Generator,
  type Side,
  somePartition,
  someTopic,
  someVersion,
  topicIdOn,
  topicState,
  type World
} from "../World.ts"

/** An offset of a partition: at its bounds, between them, beyond them. */
export const someOffset = (world: World, name: string, partition: number): number => {
  const { random } = world
  const end = topicState(world, name)?.ends[partition] ?? 0
  const start = topicState(world, name)?.starts[partition] ?? 0
  return random.weighted([
    [5, random.int(start, Math.max(start, end))],
    [3, start],
    [3, end],
    [2, Math.max(0, end - 1)],
    [1, end + 1],
    [1, start - 1],
    [1, -1],
    [1, -5],
    [1, Number.MAX_SAFE_INTEGER]
  ])
}

interface Target {
  readonly topic: string
  readonly partitions: ReadonlyArray<Fields>
}

const someTargets = (world: World): ReadonlyArray<Target> => {
  const { random } = world
  const names = Array.from(new Set(Array.from({ length: random.weighted([[5, 1], [2, 2], [1, 0]]) }, () => someTopic(world))))
  return names.map((topic) => ({
    topic,
    partitions: Array.from(new Set(Array.from({ length: random.int(1, 2) }, () => somePartition(world, topic)))).map((partition) => ({
      partition,
      currentLeaderEpoch: random.weighted([[8, -1], [3, 0], [1, 1], [1, 9], [1, -3]]),
      fetchOffset: someOffset(world, topic, partition),
      lastFetchedEpoch: random.weighted([[10, -1], [2, 0], [1, 5]]),
      logStartOffset: -1,
      partitionMaxBytes: random.weighted([[8, 1_048_576], [2, 0], [2, 100], [1, 1], [1, 1500]])
    }))
  }))
}

const forgotten = (world: World, side: Side): ReadonlyArray<Fields> => {
  const topic = world.topics[0]
  return topic === undefined ? [] : [{ topic: topic.name, topicId: topicIdOn(side, topic.name), partitions: [0] }]
}

export const fetch: Generator = {
  api: "Fetch",
  weight: 24,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "Fetch")
    const targets = someTargets(world)
    const session = random.weighted<"none" | "new" | "next" | "wrongId" | "wrongEpoch" | "close">([
      [8, "none"], [3, "new"], [4, "next"], [1, "wrongId"], [1, "wrongEpoch"], [1, "close"]
    ])
    const forget = session === "next" && random.chance(30)
    // an unknown isolation level fails in Kafka where a partition is read, and passes unseen where none is
    const readable = targets.length > 0 && targets.every(({ partitions, topic }) =>
      partitions.every(({ partition }) => (partition as number) >= 0 && (partition as number) < (topicState(world, topic)?.partitions ?? 0)))
    const fields = {
      maxWaitMs: random.pick([0, 0, 1, 20]),
      minBytes: random.weighted([[4, 1], [3, 0], [1, 500], [1, -1]]),
      maxBytes: random.weighted([[8, 52_428_800], [1, 0], [1, 1], [1, 2_147_483_647]]),
      isolationLevel: random.weighted([[20, 0], [20, 1], [1, readable ? 2 : 0]]),
      rackId: random.pick(["", "", "rack-a"])
    }
    const replicaId = random.weighted([[20, -1], [1, -2]])
    const idOf = (side: Side): readonly [number, number] => {
      switch (session) {
        case "none": return [0, -1]
        case "new": return [0, 0]
        case "next": return [side.fetchSession.id, side.fetchSession.epoch]
        case "wrongId": return [123_456_789, 1]
        case "wrongEpoch": return [side.fetchSession.id, side.fetchSession.epoch + 4]
        case "close": return [side.fetchSession.id, -1]
      }
    }
    return {
      api: "Fetch",
      version,
      fields: (side) => {
        const [sessionId, sessionEpoch] = idOf(side)
        return {
          ...fields,
          replicaId,
          replicaState: { replicaId, replicaEpoch: -1 },
          sessionId,
          sessionEpoch,
          topics: targets.map(({ topic, partitions }) => ({
            topic,
            topicId: topicIdOn(side, topic),
            partitions
          })),
          forgottenTopicsData: forget ? forgotten(world, side) : []
        }
      },
      learn: (answer, side) => {
        if (version < 7) return
        const id = Number(answer["sessionId"])
        if (session === "close" || answer["errorCode"] !== 0) side.fetchSession = { id: 0, epoch: -1 }
        else if (id !== 0) side.fetchSession = { id, epoch: session === "new" ? 1 : side.fetchSession.epoch + 1 }
      }
    }
  }
}
