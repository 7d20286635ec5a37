/** Groups with kafkajs and @platformatic/kafka, in this process. */
import { Admin, Consumer, MessagesStreamModes, Producer, stringDeserializers, stringSerializers } from "@platformatic/kafka"
import kafkaJs from "kafkajs"
import { waitFor } from "../../scripts/peers/Processes.ts"
import { type Check, expect, expectEqual } from "./Check.ts"

// a CommonJS module whose exports Node does not all find by name
const { Kafka, logLevel } = kafkaJs

const kafkajsGroup: Check = {
  name: "kafkajs shares a group, one member takes over from the other, and administers it",
  run: async ({ peer, short }) => {
    const kafka = new Kafka({ clientId: "interop", brokers: [peer.bootstrap], logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    const producer = kafka.producer()
    await Promise.all([admin.connect(), producer.connect()])
    const group = "js-group"
    const seen = new Map<string, number>()
    const member = async (): Promise<{ readonly consumer: ReturnType<typeof kafka.consumer>; readonly own: Set<number> }> => {
      const consumer = kafka.consumer({ groupId: group, sessionTimeout: 10_000, heartbeatInterval: 500, rebalanceTimeout: 15_000 })
      const own = new Set<number>()
      await consumer.connect()
      await consumer.subscribe({ topics: ["grp-js"], fromBeginning: true })
      await consumer.run({
        eachMessage: ({ message, partition }) => {
          own.add(partition)
          const key = `${partition}/${message.offset}`
          seen.set(key, (seen.get(key) ?? 0) + 1)
          return Promise.resolve()
        }
      })
      return { consumer, own }
    }
    const send = async (count: number): Promise<void> => {
      await producer.send({ topic: "grp-js", messages: Array.from({ length: count }, (_, i) => ({ value: `value ${i}`, partition: i % 4 })) })
    }
    const count = short ? 400 : 8000
    const members: Array<Awaited<ReturnType<typeof member>>> = []
    try {
      await admin.createTopics({ topics: [{ topic: "grp-js", numPartitions: 4 }], waitForLeaders: true })
      await send(count)
      members.push(...await Promise.all([member(), member()]))
      await waitFor("all records", 60_000, () => seen.size === count ? true : undefined)
      const described = await waitFor("two members", 30_000, async () => {
        const { groups } = await admin.describeGroups([group])
        return groups[0]?.members.length === 2 && groups[0].state === "Stable" ? groups[0] : undefined
      })
      expectEqual([described.protocolType, described.protocol], ["consumer", "RoundRobinAssigner"], "protocol")
      await members[0]!.consumer.disconnect()
      members[1]!.own.clear()
      await send(400)
      await waitFor("all records of the one that is left", 60_000, () => seen.size === count + 400 ? true : undefined)
      expectEqual(Array.from(members[1]!.own).sort(), [0, 1, 2, 3], "partitions of the one that is left")
      await members[1]!.consumer.disconnect()
      const offsets = async (): Promise<number> =>
        (await admin.fetchOffsets({ groupId: group, topics: ["grp-js"] }))[0]!.partitions.reduce((sum, { offset }) => sum + Number(offset), 0)
      expectEqual(await offsets(), count + 400, "sum of the committed offsets")
      expectEqual(Array.from(seen.values()).filter((times) => times > 1).length, 0, "records read twice without a crash")
      await admin.resetOffsets({ groupId: group, topic: "grp-js", earliest: true })
      await admin.setOffsets({ groupId: group, topic: "grp-js", partitions: [{ partition: 2, offset: "7" }] })
      const two = (await admin.fetchOffsets({ groupId: group, topics: ["grp-js"] }))[0]!.partitions.find(({ partition }) => partition === 2)
      expectEqual(two?.offset, "7", "an offset that was set")
      expect((await admin.listGroups()).groups.some((one) => one.groupId === group && one.protocolType === "consumer"), "the group is not listed")
      expectEqual((await admin.deleteGroups([group]))[0]?.errorCode, 0, "delete")
      expect(!(await admin.listGroups()).groups.some((one) => one.groupId === group), "the group is still listed")
    } finally {
      await Promise.allSettled([...members.map(({ consumer }) => consumer.disconnect()), admin.disconnect(), producer.disconnect()])
    }
  }
}

const platformaticGroup: Check = {
  name: "@platformatic/kafka reads in a group, commits, goes on, and administers it",
  run: async ({ peer, short }) => {
    const base = { clientId: "interop", bootstrapBrokers: [peer.bootstrap] }
    const admin = new Admin(base)
    const producer = new Producer({ ...base, serializers: stringSerializers })
    const group = "platformatic-group"
    const topic = "grp-platformatic"
    const count = short ? 300 : 6000
    const send = async (from: number, to: number): Promise<void> => {
      await producer.send({ messages: Array.from({ length: to - from }, (_, i) => ({ topic, key: `k${from + i}`, value: `value ${from + i}` })) })
    }
    /** Reads so many and commits the last of each partition. */
    const read = async (instance: string, wanted: number): Promise<ReadonlyArray<string>> => {
      const consumer = new Consumer({ ...base, groupId: group, groupInstanceId: instance, deserializers: stringDeserializers, sessionTimeout: 10_000, heartbeatInterval: 500, rebalanceTimeout: 15_000 })
      const values: Array<string> = []
      try {
        const stream = await consumer.consume({ topics: [topic], mode: MessagesStreamModes.COMMITTED, fallbackMode: "earliest", autocommit: false, maxWaitTime: 200 })
        for await (const message of stream) {
          values.push(message.value!)
          await message.commit()
          if (values.length === wanted) break
        }
        const described = (await admin.describeGroups({ groups: [group] })).get(group)
        expectEqual([described?.state, described?.members.size], ["Stable", 1], "the group while it is read")
        await stream.close()
      } finally {
        await consumer.close(true)
      }
      return values
    }
    try {
      await admin.createTopics({ topics: [topic], partitions: 3, replicas: 1 })
      await send(0, count)
      const first = await read("one", count)
      await send(count, count + 10)
      const next = await read("one", 10)
      expectEqual([...first, ...next].sort(), Array.from({ length: count + 10 }, (_, i) => `value ${i}`).sort(), "values")
      expect((await admin.listGroups()).has(group), "the group is not listed")
      const committed = await admin.listConsumerGroupOffsets({ groups: [group] })
      const sum = committed[0]!.topics[0]!.partitions.reduce((total, { committedOffset }) => total + Number(committedOffset), 0)
      expectEqual(sum, count + 10, "sum of the committed offsets")
      // a static member stays until it is removed or its session ends
      await admin.removeMembersFromConsumerGroup({ groupId: group, members: null })
      await waitFor("deletion of the group", 30_000, () => admin.deleteGroups({ groups: [group] }).then(() => true, () => undefined))
      expect(!(await admin.listGroups()).has(group), "the group is still listed")
    } finally {
      await Promise.allSettled([producer.close(), admin.close()])
    }
  }
}

export const groupLibraryChecks: ReadonlyArray<Check> = [kafkajsGroup, platformaticGroup]
