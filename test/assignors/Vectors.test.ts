import { readFileSync } from "node:fs"
import { gunzipSync } from "node:zlib"
import { describe, expect, it } from "vitest"
import { type AssignorTopic, assignors, type LastAssignment, type MemberSubscription, type TopicPartitions } from "../../core/assignors/index.ts"

type Pair = readonly [topic: string, partition: number]

interface Vector {
  readonly assignor: string
  readonly scenario: number
  readonly round: number
  readonly topics: Readonly<Record<string, number | ReadonlyArray<ReadonlyArray<string>>>>
  readonly members: ReadonlyArray<{
    readonly id: string
    readonly instance: string | null
    readonly rack: string | null
    readonly topics: ReadonlyArray<string>
    readonly owned: ReadonlyArray<Pair>
    readonly generation: number
    readonly last: ReadonlyArray<Pair> | null
    readonly lastGeneration: number
    readonly userData: string | null
  }>
  readonly assignment: Readonly<Record<string, ReadonlyArray<Pair>>>
}

const fixture = (name: string): Uint8Array => readFileSync(new URL(`../fixtures/assignors/${name}`, import.meta.url))
const lines = (bytes: Uint8Array): ReadonlyArray<Vector> =>
  new TextDecoder().decode(bytes).trim().split("\n").map((line) => JSON.parse(line) as Vector)

const vectors = lines(gunzipSync(fixture("kafka-4.3.1.ndjson.gz")))

const byTopic = (pairs: ReadonlyArray<Pair>): Array<TopicPartitions> => {
  const topics = new Map<string, Array<number>>()
  for (const [topic, partition] of pairs) topics.set(topic, [...(topics.get(topic) ?? []), partition])
  return [...topics].map(([topic, partitions]) => ({ topic, partitions }))
}
const hex = (bytes: Uint8Array | null): string | null => (bytes === null ? null : Buffer.from(bytes).toString("hex"))

const topicsOf = (vector: Vector): Map<string, AssignorTopic> =>
  new Map(Object.entries(vector.topics).map(([topic, given]) => [
    topic,
    typeof given === "number" ? { partitions: given } : { partitions: given.length, racks: given }
  ]))

const membersOf = (vector: Vector): Array<MemberSubscription> =>
  vector.members.map((member) => ({
    memberId: member.id,
    groupInstanceId: member.instance,
    topics: member.topics,
    userData: member.userData === null ? null : new Uint8Array(Buffer.from(member.userData, "hex")),
    ownedPartitions: byTopic(member.owned),
    generationId: member.generation,
    rackId: member.rack
  }))

describe("Kafka's own assignors", () => {
  it.each([["range", 100], ["roundrobin", 100], ["sticky", 100], ["cooperative-sticky", 100]] as const)(
    "%s: members get the same partitions in the same order, from the same bytes",
    (name, atLeast) => {
      const mine = vectors.filter((vector) => vector.assignor === name)
      expect(mine.length).toBeGreaterThanOrEqual(atLeast)
      const assignor = assignors.get(name)!
      for (const vector of mine) {
        const where = `scenario ${vector.scenario}, round ${vector.round}`
        for (const member of vector.members) {
          const last: LastAssignment | null = member.last === null
            ? null
            : { partitions: byTopic(member.last), generationId: member.lastGeneration }
          expect(hex(assignor.subscriptionUserData(member.topics, last)), `${where}: ${member.id}`).toBe(member.userData)
        }
        const assignment = assignor.assign(topicsOf(vector), membersOf(vector))
        expect([...assignment.keys()].sort(), where).toEqual(Object.keys(vector.assignment).sort())
        for (const [memberId, pairs] of Object.entries(vector.assignment)) {
          const given = [...assignment.get(memberId)!].map(([topic, partitions]) => ({ topic, partitions }))
          expect(given, `${where}: ${memberId}`).toEqual(byTopic(pairs))
        }
      }
    }
  )

  it("are followed through racks, static members, different topics and older generations", () => {
    const members = vectors.flatMap((vector) => vector.members)
    expect(vectors.filter((vector) => Object.values(vector.topics).some((one) => typeof one !== "number")).length)
      .toBeGreaterThan(50)
    expect(members.filter((member) => member.instance !== null).length).toBeGreaterThan(100)
    expect(vectors.filter(({ members: [first, ...rest] }) => rest.some((member) => `${member.topics}` !== `${first!.topics}`)).length)
      .toBeGreaterThan(50)
    expect(vectors.filter(({ members: all }) => new Set(all.map((member) => member.lastGeneration)).size > 2).length)
      .toBeGreaterThan(20)
  })

  it("are not followed where they give a topic back to a member that has left it", () => {
    const [vector] = lines(fixture("left-topic.json"))
    const strays = (assigned: (memberId: string) => Iterable<string>): Array<string> =>
      vector!.members.filter(({ id, topics }) => [...assigned(id)].some((topic) => !topics.includes(topic))).map(({ id }) => id)
    expect(strays((id) => vector!.assignment[id]!.map(([topic]) => topic))).toHaveLength(1)
    const assignment = assignors.get("sticky")!.assign(topicsOf(vector!), membersOf(vector!))
    expect(strays((id) => assignment.get(id)!.keys())).toEqual([])
  })
})
