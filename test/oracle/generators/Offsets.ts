/** ListOffsets, OffsetForLeaderEpoch, DeleteRecords. */
import { type Fields, type Generator, somePartition, someTopic, someVersion, topicState, type World } from "../World.ts"
import { someOffset } from "./Fetch.ts"

const someTimestamp = (world: World): number => {
  const { random } = world
  return random.weighted([
    [4, -1], [4, -2], [3, -3], [1, -4], [1, -5], [1, -6], [1, -7], [1, -100],
    [3, world.nowMs - random.int(0, 3_600_000)],
    [1, 0],
    [1, 1],
    [1, world.nowMs - 1000],
    [1, world.nowMs + 86_400_000],
    [1, Number.MAX_SAFE_INTEGER]
  ])
}

export const listOffsets: Generator = {
  api: "ListOffsets",
  weight: 10,
  make: (world) => {
    const { random } = world
    const name = someTopic(world)
    const partitions = Array.from({ length: random.int(1, 3) }, (): Fields => ({
      partitionIndex: somePartition(world, name),
      currentLeaderEpoch: random.weighted([[8, -1], [2, 0], [1, 1], [1, 7]]),
      timestamp: someTimestamp(world)
    }))
    // one partition twice in a request is an error of its own: rare, and on purpose
    const distinct = partitions.filter((one, i) => random.chance(3) || partitions.findIndex((p) => p["partitionIndex"] === one["partitionIndex"]) === i)
    const isolationLevel = random.pick([0, 1])
    const replicaId = random.weighted([[20, -1], [1, -2]])
    return {
      api: "ListOffsets",
      version: someVersion(world, "ListOffsets"),
      fields: () => ({ replicaId, isolationLevel, topics: [{ name, partitions: distinct }], timeoutMs: 5000 })
    }
  }
}

export const offsetForLeaderEpoch: Generator = {
  api: "OffsetForLeaderEpoch",
  weight: 4,
  make: (world) => {
    const { random } = world
    const topic = someTopic(world)
    const partition = {
      partition: somePartition(world, topic),
      currentLeaderEpoch: random.weighted([[6, -1], [3, 0], [1, 1], [1, 4]]),
      leaderEpoch: random.weighted([[6, 0], [2, -1], [1, 1], [1, 5], [1, -2]])
    }
    const replicaId = random.pick([-1, -1, -2])
    return {
      api: "OffsetForLeaderEpoch",
      version: someVersion(world, "OffsetForLeaderEpoch"),
      fields: () => ({ replicaId, topics: [{ topic, partitions: [partition] }] })
    }
  }
}

export const deleteRecords: Generator = {
  api: "DeleteRecords",
  weight: 3,
  make: (world) => {
    const name = someTopic(world)
    const partitionIndex = somePartition(world, name)
    const offset = someOffset(world, name, partitionIndex)
    return {
      api: "DeleteRecords",
      version: someVersion(world, "DeleteRecords"),
      fields: () => ({ topics: [{ name, partitions: [{ partitionIndex, offset }] }], timeoutMs: 10_000 }),
      learn: (answer, _side, isJudge) => {
        const result = (answer["topics"] as ReadonlyArray<Fields>)[0]?.["partitions"][0] as Fields | undefined
        const state = topicState(world, name)
        if (isJudge && result?.["errorCode"] === 0 && state !== undefined) state.starts[partitionIndex] = Number(result["lowWatermark"])
      }
    }
  }
}
