/** CreateTopics, DeleteTopics, CreatePartitions, Metadata, DescribeTopicPartitions: right ones and every wrong one. */
import { topicNameError } from "../../../core/model/Ids.ts"
import type { Random } from "../Random.ts"
import {
  type Fields,
  type Generator,
  liveTopics,
  somePartition,
  someTopic,
  someVersion,
  topicIdOn,
  topicState,
  type TopicState,
  type World,
  ZERO_TOPIC_ID
} from "../World.ts"
import { topicConfig } from "./Configs.ts"

/** Topics of one sequence that live at a time: each costs the judge files and time. */
const MAX_LIVE_TOPICS = 6
const MAX_PARTITIONS = 4

const newName = (world: World): string => `${world.prefix}-${"abcdefghijklmnopqrstuvwxyz"[world.topics.length % 26] ?? "z"}${world.topics.length}`

const replicaAssignments = (random: Random): ReadonlyArray<Fields> =>
  random.pick<ReadonlyArray<Fields>>([
    [{ partitionIndex: 0, brokerIds: [1] }],
    [{ partitionIndex: 0, brokerIds: [1] }, { partitionIndex: 1, brokerIds: [1] }],
    [{ partitionIndex: 1, brokerIds: [1] }, { partitionIndex: 0, brokerIds: [1] }],
    [{ partitionIndex: 0, brokerIds: [1] }, { partitionIndex: 0, brokerIds: [1] }],
    [{ partitionIndex: 1, brokerIds: [1] }],
    [{ partitionIndex: -1, brokerIds: [1] }],
    [{ partitionIndex: 0, brokerIds: [7] }],
    [{ partitionIndex: 0, brokerIds: [1, 1] }],
    [{ partitionIndex: 0, brokerIds: [] }],
    [{ partitionIndex: 0, brokerIds: [1, 2] }],
    [{ partitionIndex: 0, brokerIds: [-1] }]
  ])

const creatable = (world: World): Fields => {
  const { random } = world
  const byAssignment = random.chance(12)
  return {
    name: random.weighted([
      [12, newName(world)],
      [1, someTopic(world)],
      [1, random.pick(["", ".", "..", "a b", "ü", "x".repeat(249), "x".repeat(250), "a/b", "__consumer_offsets2"])],
      [1, liveTopics(world).length > 0 ? random.pick(liveTopics(world)).name.replace("-", "_").replace(/-/g, ".") : "a:b"]
    ]),
    numPartitions: byAssignment ? random.pick([-1, -1, -1, 1]) : random.weighted([[10, random.int(1, MAX_PARTITIONS)], [2, -1], [1, 0], [1, -2]]),
    replicationFactor: byAssignment ? random.pick([-1, -1, -1, 1]) : random.weighted([[10, 1], [2, -1], [1, 0], [1, 2], [1, -2], [1, 300]]),
    assignments: byAssignment ? replicaAssignments(random) : [],
    configs: Array.from({ length: random.weighted([[6, 0], [3, 1], [1, 3]]) }, () => {
      const [name, value] = topicConfig(random)
      return { name, value }
    })
  }
}

const rememberCreated = (world: World, asked: Fields, partitions: number): void => {
  const configs = new Map<string, string>(asked["configs"].map((c: Fields) => [c["name"], c["value"] ?? ""]))
  const zeros = (): Array<number> => Array.from({ length: partitions }, () => 0)
  const known = topicState(world, asked["name"])
  if (known === undefined) world.topics.push({ name: asked["name"], partitions, configs, ends: zeros(), starts: zeros() })
  else revive(known, partitions, configs)
}

const revive = (topic: TopicState, partitions: number, configs: Map<string, string>): void => {
  topic.partitions = partitions
  topic.configs.clear()
  for (const [name, value] of configs) topic.configs.set(name, value)
  topic.ends.splice(0, Infinity, ...Array.from({ length: partitions }, () => 0))
  topic.starts.splice(0, Infinity, ...Array.from({ length: partitions }, () => 0))
}

export const createTopics: Generator = {
  api: "CreateTopics",
  weight: 6,
  make: (world) => {
    const { random } = world
    const full = liveTopics(world).length >= MAX_LIVE_TOPICS
    const version = someVersion(world, "CreateTopics")
    const first = creatable(world)
    const topics = random.weighted([[10, [first]], [1, [first, first]], [1, []], [1, [first, { ...creatable(world), name: "bad name" }]]])
    const validateOnly = full || random.chance(15)
    return {
      api: "CreateTopics",
      version,
      fields: () => ({ topics, timeoutMs: 30_000, validateOnly }),
      settle: true,
      learn: (answer, _side, isJudge) => {
        if (!isJudge || validateOnly) return
        for (const result of answer["topics"] as ReadonlyArray<Fields>) {
          const asked = topics.find((topic) => topic["name"] === result["name"])
          if (result["errorCode"] !== 0 || asked === undefined) continue
          const count = asked["assignments"].length > 0 ? asked["assignments"].length : asked["numPartitions"] < 0 ? 1 : asked["numPartitions"]
          rememberCreated(world, asked, count)
        }
      }
    }
  }
}

export const deleteTopics: Generator = {
  api: "DeleteTopics",
  weight: 2,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "DeleteTopics")
    // keep at least two to work on
    const victim = liveTopics(world).length > 2 && random.chance(60) ? random.pick(liveTopics(world)).name : `${world.prefix}-${random.pick(["never", "gone"])}`
    const names = random.weighted([[8, [victim]], [1, [victim, victim]], [1, []], [1, [victim, "", "bad/name"]]])
    const byId = version >= 6 && random.chance(60)
    const both = version >= 6 && random.chance(5)
    return {
      api: "DeleteTopics",
      version,
      fields: (side) => ({
        topicNames: names,
        topics: names.map((name) =>
          byId
            ? { name: both ? name : null, topicId: topicIdOn(side, name) }
            : { name, topicId: ZERO_TOPIC_ID }
        ),
        timeoutMs: 30_000
      }),
      settle: true,
      learn: (answer, _side, isJudge) => {
        if (!isJudge) return
        const anyDone = (answer["responses"] as ReadonlyArray<Fields>).some((result) => result["errorCode"] === 0)
        for (const result of answer["responses"] as ReadonlyArray<Fields>) {
          const topic = topicState(world, result["name"] ?? victim)
          if (result["errorCode"] === 0 && anyDone && topic !== undefined) topic.partitions = 0
        }
      }
    }
  }
}

export const createPartitions: Generator = {
  api: "CreatePartitions",
  weight: 2,
  make: (world) => {
    const { random } = world
    const name = someTopic(world)
    const now = topicState(world, name)?.partitions ?? 1
    const count = random.weighted([[6, Math.min(now + 1, MAX_PARTITIONS)], [1, now], [1, now - 1], [1, 0], [1, -1], [1, now + 2]])
    const added = Math.max(0, count - now)
    const assignments = random.weighted<ReadonlyArray<Fields> | null>([
      [8, null],
      [2, Array.from({ length: added }, () => ({ brokerIds: [1] }))],
      [1, [{ brokerIds: [9] }]],
      [1, [{ brokerIds: [1] }, { brokerIds: [1] }, { brokerIds: [1] }]],
      [1, [{ brokerIds: [] }]]
    ])
    const topic = { name, count, assignments }
    const topics = random.weighted([[10, [topic]], [1, [topic, topic]], [1, []]])
    const validateOnly = random.chance(20)
    return {
      api: "CreatePartitions",
      version: someVersion(world, "CreatePartitions"),
      fields: () => ({ topics, timeoutMs: 30_000, validateOnly }),
      settle: true,
      learn: (answer, _side, isJudge) => {
        if (!isJudge || validateOnly) return
        for (const result of answer["results"] as ReadonlyArray<Fields>) {
          const state = topicState(world, result["name"])
          if (result["errorCode"] !== 0 || state === undefined) continue
          while (state.partitions < count) {
            state.partitions++
            state.ends.push(0)
            state.starts.push(0)
          }
        }
      }
    }
  }
}

export const metadata: Generator = {
  api: "Metadata",
  weight: 4,
  make: (world) => {
    const { random } = world
    const version = someVersion(world, "Metadata")
    const byId = version >= 10 && random.chance(40)
    const name = someTopic(world)
    const names = random.weighted([[8, [name]], [2, [name, someTopic(world)]], [1, []]])
    const auto = random.chance(15)
    const authorized = random.chance(20)
    // an unknown topic with a legal name is created, and version 0 to 3 cannot say no
    const creates = (auto || version < 4) && !byId
      ? (names.length === 0 && version === 0 ? [name] : names).filter((one) => topicNameError(one) === undefined && (topicState(world, one)?.partitions ?? 0) === 0)
      : []
    return {
      api: "Metadata",
      version,
      // never all topics (null; empty in version 0): other sequences' topics would be among them
      fields: (side) => ({
        topics: (version === 0 && names.length === 0 ? [name] : names).map((one) => byId
          ? { topicId: topicIdOn(side, one), name: null }
          : { topicId: ZERO_TOPIC_ID, name: one }),
        allowAutoTopicCreation: auto,
        includeClusterAuthorizedOperations: authorized,
        includeTopicAuthorizedOperations: name.length % 3 === 0
      }),
      settle: true,
      learn: (_answer, _side, isJudge) => {
        if (isJudge) for (const one of creates) rememberCreated(world, { name: one, configs: [] }, 1)
      }
    }
  }
}

export const describeTopicPartitions: Generator = {
  api: "DescribeTopicPartitions",
  weight: 2,
  make: (world) => {
    const { random } = world
    const some = Array.from(new Set(Array.from({ length: random.int(1, 3) }, () => someTopic(world))))
    // Kafka fails on an illegal name and with it on all others: such a name is asked for alone
    const illegal = some.find((name) => topicNameError(name) !== undefined)
    const names = illegal === undefined ? some : [illegal]
    const limit = random.weighted([[5, 2000], [2, 1], [1, 2], [1, 0], [1, -1]])
    const cursor = random.weighted<Fields | null>([
      [5, null],
      [2, { topicName: random.pick(names), partitionIndex: somePartition(world, names[0] ?? "") }]
    ])
    return {
      api: "DescribeTopicPartitions",
      version: someVersion(world, "DescribeTopicPartitions"),
      fields: () => ({ topics: names.map((name) => ({ name })), responsePartitionLimit: limit, cursor })
    }
  }
}
