/** The client without Effect, over a broker. */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { expect, it } from "vitest"
import { FatalError, RetriableError } from "../../core/client/ClientError.ts"
import { type Client, type OutgoingRecord, text } from "../../core/client/facade/Client.ts"
import { connectWith } from "../../core/client/facade/Connect.ts"
import { Partitioner } from "../../core/client/Partitioner.ts"
import { MemoryDisk } from "../../core/memory/MemoryDisk.ts"
import { Disk } from "../../core/ports/Disk.ts"
import { overBroker, type Ports, type TestBroker } from "./TestBrokers.ts"

interface Setting {
  readonly client: Client
  readonly topic: string
  readonly group: string
  readonly disk: Disk
}

overBroker("the client without Effect", (test) => {
  const plain = (title: string, body: (setting: Setting) => Promise<void>, partitions = 1): void =>
    test(title, (broker: TestBroker) =>
      Effect.gen(function*() {
        const topic = yield* broker.createTopic("facade", { partitions })
        const { disk } = new MemoryDisk()
        const ports = Layer.merge(Layer.succeedContext(yield* Effect.context<Ports>()), Layer.succeed(Disk, disk))
        yield* Effect.promise(async () => {
          const client = await connectWith(ports)({ "bootstrap.servers": broker.bootstrap })
          try {
            await body({ client, topic, group: broker.name("group"), disk })
          } finally {
            await client.close()
          }
        })
      }))

  const produce = (client: Client, topic: string, values: ReadonlyArray<string>): Promise<unknown> =>
    client.producer().sendAll(values.map((value) => ({ topic, value })))

  plain("sends text, bytes and headers, and reads them by iteration", async ({ client, group, topic }) => {
    const sent = await client.producer().send({
      topic,
      key: "k",
      value: new Uint8Array([1, 2]),
      headers: { a: "1", b: null },
      timestamp: new Date(1234)
    })
    expect(sent).toMatchObject({ topic, partition: 0, offset: 0, timestamp: 1234 })
    await client.producer().send({ topic, headers: [{ key: "a", value: new Uint8Array([7]) }] })
    const consumer = client.consumer({ "group.id": group, "auto.offset.reset": "earliest" })
    const records = []
    for await (const record of consumer.subscribe(topic)) {
      records.push(record)
      if (records.length === 2) break
    }
    expect(records[0]).toMatchObject({ topic, partition: 0, offset: 0, timestamp: 1234, timestampType: "CreateTime" })
    expect([text(records[0]!.key), records[0]!.value, records[0]!.headers.map(({ key, value }) => [key, text(value)])]).toEqual([
      "k",
      new Uint8Array([1, 2]),
      [["a", "1"], ["b", null]]
    ])
    expect([records[1]!.key, records[1]!.value]).toEqual([null, null])
  })

  plain("sends more than the buffer holds, from an async iterable, and keeps their order", async ({ client, topic }) => {
    const producer = client.producer({ "buffer.memory": 65536, "linger.ms": 0 })
    async function* source(): AsyncGenerator<OutgoingRecord> {
      for (let n = 0; n < 500; n++) yield { topic, value: `${n} ${"x".repeat(1000)}` }
    }
    const acknowledged = await producer.sendAll(source())
    expect(acknowledged.map(({ offset }) => offset)).toEqual(Array.from({ length: 500 }, (_, n) => n))
    await producer.close()
    await expect(producer.send({ topic })).rejects.toMatchObject({ _tag: "FatalError", reason: "CLOSED" })
  })

  plain("places records by a partitioner of one's own", async ({ client, topic }) => {
    const partitioner = Partitioner.fromFunction("last", (_, { partitions }) => partitions.length - 1)
    const sent = await client.producer({ partitioner }).send({ topic, key: "k" })
    expect(sent.partition).toBe(2)
  }, 3)

  plain("saves what was asked past: the record at a break comes again", async ({ client, group, topic }) => {
    await produce(client, topic, ["a", "b", "c", "d"])
    const options = { "group.id": group, "auto.offset.reset": "earliest" } as const
    const first = client.consumer(options)
    const seen: Array<string | null> = []
    for await (const { value } of first.subscribe([topic])) {
      seen.push(text(value))
      if (seen.length === 3) break
    }
    await first.close()
    expect(await client.admin().listGroupOffsets(group)).toMatchObject([{ topic, partition: 0, offset: 2 }])
    await using second = client.consumer(options)
    for await (const { value } of second.subscribe([topic])) {
      seen.push(text(value))
      if (seen.length === 5) break
    }
    expect(seen).toEqual(["a", "b", "c", "c", "d"])
  })

  plain("waits max.block.ms for a partition that a topic does not have, and lets others go on meanwhile", async ({ client, topic }) => {
    const producer = client.producer({ "max.block.ms": 300 })
    await producer.send({ topic, value: "here" })
    const nowhere = producer.send({ topic, partition: 99, value: "nowhere" })
    const several = producer.sendAll([{ topic, partition: 98, value: "nowhere" }])
    await Promise.all([nowhere, several].map((sent) =>
      expect(sent).rejects.toMatchObject({ _tag: "RetriableError", reason: "TIMED_OUT", message: expect.stringContaining(`of topic ${topic}`) })
    ))
    expect(await producer.send({ topic, value: "here" })).toMatchObject({ topic })
  })

  plain("refuses what is no record and goes on: an object would be a record without bytes", async ({ client, topic }) => {
    const producer = client.producer()
    const notBytes: ReadonlyArray<readonly [unknown, string]> =
      [[{ a: 1 }, "Object"], [3, "number"], [[1], "Array"], [new ArrayBuffer(2), "ArrayBuffer"], [new Uint16Array(2), "Uint16Array"], [new Date(0), "Date"]]
    for (const [value, given] of notBytes) {
      const refused = { reason: "INVALID_ARGUMENT", message: expect.stringContaining(`a record's value takes text, a Uint8Array or null, not ${given}`) }
      await expect(producer.send({ topic, value } as OutgoingRecord)).rejects.toMatchObject(refused)
      await expect(producer.forget({ topic, value } as OutgoingRecord)).rejects.toMatchObject(refused)
      await expect(producer.sendAll([{ topic, value } as OutgoingRecord])).rejects.toMatchObject(refused)
    }
    await expect(producer.send({ topic, key: {} as never, value: "v" })).rejects.toThrow("a record's key takes")
    await expect(producer.send({ topic, headers: { h: 3 as never } })).rejects.toThrow("a record's header takes")
    await expect(producer.send({ topic, headers: [{ key: "h", value: "text" as never }, { key: "h", value: {} as never }] })).rejects.toThrow("a record's header takes")
    await expect(producer.send({ topic: undefined as never, value: "v" })).rejects.toThrow("a record's topic is undefined")
    expect(await producer.send({ topic, value: new Uint8Array(1) })).toMatchObject({ offset: 0 })
    // Metadata that were asked for a topic without a name would stop all that the client does.
    await client.admin().createPartitions([{ name: topic, totalCount: 2 }])
    expect(await client.producer().send({ topic, partition: 1, value: "v" })).toMatchObject({ partition: 1, offset: 0 })
  })

  plain("waits for room for a record of any size, and lets others go on meanwhile", async ({ client, topic }) => {
    const value = new Uint8Array(600_000)
    // Two have room; what is left then is enough for a batch, but not for a third.
    const producer = client.producer({ "buffer.memory": 1_500_000 })
    const all = await producer.sendAll(Array.from({ length: 7 }, () => ({ topic, value })))
    expect(all.map(({ offset }) => offset)).toEqual([0, 1, 2, 3, 4, 5, 6])
    const each = await Promise.all(Array.from({ length: 7 }, () => producer.send({ topic, value })))
    expect(each.map(({ offset }) => offset)).toEqual([7, 8, 9, 10, 11, 12, 13])
  })

  plain("sends what nobody awaits before it is flushed or closed, the first records of all too", async ({ client, topic }) => {
    const flushed = client.producer({ "linger.ms": 60_000 })
    const fates = ["a", "b"].map((value) => flushed.send({ topic, value }))
    await flushed.flush()
    expect(await Promise.all(fates)).toMatchObject([{ offset: 0 }, { offset: 1 }])
    const closed = client.producer({ "linger.ms": 60_000 })
    const last = closed.send({ topic, value: "c" })
    void closed.forget({ topic, value: "d" })
    await closed.close()
    expect(await last).toMatchObject({ offset: 2 })
    const again = client.producer()
    expect(await again.send({ topic, value: "e" })).toMatchObject({ offset: 4 })
    await expect(closed.send({ topic, value: "f" })).rejects.toMatchObject({ reason: "CLOSED" })
  })

  plain("gives another producer, and another admin, when somebody has closed the one for everybody", async ({ client, topic }) => {
    const first = client.producer()
    expect(client.producer()).toBe(first)
    expect(await first.send({ topic, value: "a" })).toMatchObject({ offset: 0 })
    const closing = first.close()
    const second = client.producer()
    expect(await second.send({ topic, value: "b" })).toMatchObject({ offset: 1 })
    await closing
    await first.close()
    expect(client.producer()).toBe(second)
    await expect(first.send({ topic })).rejects.toMatchObject({ reason: "CLOSED", message: expect.stringContaining("ask the client for another") })
    await client.admin().close()
    expect((await client.admin().describeTopics([topic])).has(topic)).toBe(true)
  })

  plain("makes nothing more when it is closed, and says to connect again", async ({ client, topic }) => {
    const used = client.producer()
    await used.send({ topic, value: "a" })
    await client.close()
    for (const make of [client.producer, () => client.producer({ acks: "1" }), client.consumer, client.admin]) {
      let thrown: unknown
      try {
        make()
      } catch (error) {
        thrown = error
      }
      expect(thrown).toBeInstanceOf(FatalError)
      expect(thrown).toMatchObject({ reason: "CLOSED", message: expect.stringContaining("connect again") })
    }
    await expect(used.send({ topic })).rejects.toMatchObject({ reason: "CLOSED" })
  })

  plain("waits for a producer that is closing, which has records to send", async ({ client, topic }) => {
    const producer = client.producer({ "linger.ms": 60_000 })
    await producer.forget({ topic, value: "warm" })
    const fates = ["a", "b"].map((value) => producer.send({ topic, value }))
    void producer.close()
    await client.close()
    expect(await Promise.all(fates)).toMatchObject([{ offset: 1 }, { offset: 2 }])
  })

  plain("ends an iteration when its consumer is closed", async ({ client, group, topic }) => {
    await produce(client, topic, ["a"])
    const consumer = client.consumer({ "group.id": group, "auto.offset.reset": "earliest" })
    const seen: Array<string | null> = []
    let closing: Promise<void> | undefined
    for await (const { value } of consumer.subscribe([topic])) {
      seen.push(text(value))
      // the loop is waiting for more by then
      closing = Promise.resolve().then(consumer.close)
    }
    await closing
    expect(seen).toEqual(["a"])
  })

  plain("saves what was asked past when it is closed in the middle of a loop, which then ends", async ({ client, group, topic }) => {
    await produce(client, topic, ["a", "b", "c", "d", "e"])
    const consumer = client.consumer({ "group.id": group, "auto.offset.reset": "earliest" })
    const seen: Array<string | null> = []
    for await (const { value } of consumer.subscribe([topic])) {
      seen.push(text(value))
      if (seen.length === 3) await consumer.close()
    }
    expect(seen).toEqual(["a", "b", "c"])
    expect(await client.admin().listGroupOffsets(group)).toMatchObject([{ topic, partition: 0, offset: 2 }])
  })

  plain("runs a delivery until it is told to stop, and saves where it was", async ({ client, group, topic }) => {
    await produce(client, topic, ["a", "b", "c"])
    const stop = new AbortController()
    const seen: Array<string | null> = []
    const consumer = client.consumer({ "group.id": group, "auto.offset.reset": "earliest" })
    await consumer.run({
      from: topic,
      signal: stop.signal,
      process: async ({ value }) => {
        await Promise.resolve()
        seen.push(text(value))
        if (seen.length === 2) stop.abort()
      }
    })
    expect(seen).toEqual(["a", "b"])
    expect(await client.admin().listGroupOffsets(group)).toMatchObject([{ offset: 2 }])
    await expect(consumer.poll()).rejects.toMatchObject({ reason: "INVALID_ARGUMENT" })
    // what the function throws is thrown; at least once, that record's position is not saved
    const failing = client.consumer({ "group.id": group, "auto.offset.reset": "earliest" })
    const error = new Error("poison")
    await consumer.close()
    await expect(failing.run({ from: topic, process: () => { throw error } })).rejects.toBe(error)
    expect(await client.admin().listGroupOffsets(group)).toMatchObject([{ offset: 2 }])
  })

  for (const [what, options, from] of [
    ["in a group whose members keep their partitions", { "partition.assignment.strategy": "cooperative-sticky" }, undefined],
    ["of partitions by hand", {}, [{ partition: 0 }]]
  ] as const) {
    plain(`runs again where it stopped, ${what}: what it had in hand is not passed over`, async ({ client, group, topic }) => {
      await produce(client, topic, ["a", "b", "c", "d", "e"])
      const consumer = client.consumer({ "group.id": group, "auto.offset.reset": "earliest", ...options })
      const seen: Array<string | null> = []
      const until = async (count: number, fails?: string): Promise<void> => {
        const stop = new AbortController()
        await consumer.run({
          from: from === undefined ? topic : { partitions: from.map((each) => ({ topic, ...each })) },
          signal: stop.signal,
          process: ({ value }) => {
            if (text(value) === fails) throw new Error("not yet")
            seen.push(text(value))
            if (seen.length === count) stop.abort()
          }
        })
      }
      await expect(until(5, "a")).rejects.toThrow("not yet")
      await until(2)
      await expect(until(5, "d")).rejects.toThrow("not yet")
      await until(5)
      expect(seen).toEqual(["a", "b", "c", "d", "e"])
    })
  }

  plain("runs at most once: the record that failed does not come again", async ({ client, group, topic }) => {
    await produce(client, topic, ["a", "b"])
    const options = { "group.id": group, "auto.offset.reset": "earliest" } as const
    const first = client.consumer(options)
    await expect(first.run({ from: topic, delivery: "at-most-once", process: () => Promise.reject(new Error("a")) })).rejects.toThrow("a")
    await first.close()
    const stop = new AbortController()
    const seen: Array<string | null> = []
    await client.consumer(options).run({
      from: topic,
      delivery: "at-most-once",
      signal: stop.signal,
      process: ({ value }) => {
        seen.push(text(value))
        stop.abort()
      }
    })
    expect(seen).toEqual(["b"])
    await expect(client.consumer(options).run({ from: topic, delivery: "at-most-once", every: { ms: 5 }, process: () => {} }))
      .rejects.toMatchObject({ reason: "INVALID_ARGUMENT" })
  })

  plain("saves positions in a file, for partitions by hand", async ({ client, disk, topic }) => {
    await produce(client, topic, ["a", "b", "c"])
    const seen: Array<string | null> = []
    for (let round = 0; round < 2; round++) {
      const stop = new AbortController()
      await using consumer = client.consumer({ "auto.offset.reset": "earliest" })
      await consumer.run({
        from: { partitions: [{ topic, partition: 0 }] },
        checkpointFile: "/state/positions",
        signal: stop.signal,
        process: ({ value }) => {
          seen.push(text(value))
          if (seen.length >= 2) stop.abort()
        }
      })
    }
    expect(seen).toEqual(["a", "b", "c"])
    const file = disk.open("/state/positions", "read")
    const bytes = new Uint8Array(file.size())
    file.read(bytes, 0)
    expect(text(bytes)).toBe(`0\n1\n${topic} 0 3\n`)
  })

  plain("administers, and throws what failed", async ({ client, topic }) => {
    const admin = client.admin()
    const name = `${topic}-new`
    expect(await admin.createTopics([{ name, partitions: 2 }])).toMatchObject(new Map([[name, { partitions: 2 }]]))
    await expect(admin.createTopics([{ name, partitions: 2 }])).rejects.toMatchObject({ _tag: "FatalError", reason: "TOPIC_ALREADY_EXISTS" })
    expect((await admin.describeTopics([name])).get(name)?.partitions.length).toBe(2)
    const [config] = await admin.describeConfigs([{ type: "topic", name }])
    expect(config?.entries.find(({ name }) => name === "cleanup.policy")?.value).toBe("delete")
    expect((await admin.describeCluster()).nodes.size).toBeGreaterThan(0)
    await admin.deleteTopics([name])
  })

  plain("seeks by time and to the ends", async ({ client, topic }) => {
    await client.producer().sendAll([1000, 2000, 3000].map((timestamp) => ({ topic, value: String(timestamp), timestamp })))
    const consumer = client.consumer()
    const partition = { topic, partition: 0 }
    const records = consumer.assign([{ ...partition, offset: 0 }])
    const next = async (): Promise<string | null> => text((await records.next()).value!.value)
    expect(await next()).toBe("1000")
    expect(await consumer.offsetsForTimes([{ ...partition, timestamp: new Date(1500) }])).toMatchObject([{ offset: 1, timestamp: 2000 }])
    expect(await consumer.endOffsets([partition])).toMatchObject([{ offset: 3 }])
    await records.return!()
    await consumer.seekToTimestamp([partition], 2500)
    expect(await consumer.position(partition)).toBe(2)
  })
})

it("a broker that does not answer is a RetriableError, a configuration without sense a FatalError", async () => {
  const { adapters } = await import("../adapters/Runtime.ts")
  const { layer: compression } = await import("../../adapters/shared/Compression.ts")
  const { layer: crypto } = await import("../../adapters/shared/Crypto.ts")
  const connect = connectWith(Layer.mergeAll(adapters.networkLayer, adapters.diskLayer, compression, crypto))
  // port 1 of this machine: nobody listens
  await expect(connect({ "bootstrap.servers": "127.0.0.1:1", "default.api.timeout.ms": 50 })).rejects.toBeInstanceOf(RetriableError)
  await expect(connect({ "bootstrap.servers": "" })).rejects.toBeInstanceOf(FatalError)
})
