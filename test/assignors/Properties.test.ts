import fc from "fast-check"
import { describe, expect, it } from "vitest"
import {
  type Assignor,
  type AssignorTopic,
  assignors,
  cooperativeStickyAssignor,
  type GroupAssignment,
  type MemberSubscription,
  rangeAssignor,
  roundRobinAssignor,
  stickyAssignor,
  type TopicPartitions
} from "../../core/assignors/index.ts"

type Topics = ReadonlyMap<string, AssignorTopic>

const RACKS = ["r0", "r1", "r2"]
const NAMES = Array.from({ length: 6 }, (_, i) => `topic-${i}`)

const member = (memberId: string, topics: ReadonlyArray<string>, more: Partial<MemberSubscription> = {}): MemberSubscription => ({
  memberId,
  groupInstanceId: null,
  topics,
  userData: null,
  ownedPartitions: [],
  generationId: -1,
  rackId: null,
  ...more
})

const anyTopics = (racks: boolean): fc.Arbitrary<Topics> =>
  fc
    .array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.array(fc.subarray(RACKS), { minLength: 12, maxLength: 12 })), {
      minLength: 1,
      maxLength: NAMES.length
    })
    .map((all) => new Map(all.map(([partitions, ofEach], i): [string, AssignorTopic] => [
      NAMES[i]!,
      racks ? { partitions, racks: ofEach.slice(0, partitions) } : { partitions }
    ])))

/** Members with anything in their subscriptions: what they claim may be wrong, gone, or claimed by others too. */
const anyMembers = (alike: boolean): fc.Arbitrary<Array<MemberSubscription>> =>
  fc.tuple(fc.subarray(NAMES, { minLength: 1 }), fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 9 }))
    .chain(([common, ids]) => fc.tuple(...ids.map((id, at) =>
      fc.record({
        topics: alike ? fc.constant(common) : fc.subarray(NAMES),
        userData: fc.option(fc.uint8Array({ maxLength: 40 })),
        generationId: fc.integer({ min: -1, max: 4 }),
        rackId: fc.option(fc.constantFrom("", ...RACKS, "elsewhere")),
        groupInstanceId: fc.option(fc.constant(`static-${at}`)),
        ownedPartitions: fc.array(fc.record({
          topic: fc.constantFrom(...NAMES, "gone"),
          partitions: fc.array(fc.integer({ min: 0, max: 14 }), { maxLength: 5 })
        }), { maxLength: 4 })
      }).map((more) => member(id, more.topics, more))
    )))

const anyGroup = fc.tuple(fc.boolean(), fc.boolean())
  .chain(([racks, alike]) => fc.tuple(anyTopics(racks), anyMembers(alike)))

const pairsOf = (rows: Iterable<readonly [string, ReadonlyArray<number>]>): Array<string> =>
  [...rows].flatMap(([topic, partitions]) => partitions.map((partition) => `${topic}:${partition}`))
const rowsOf = (owned: ReadonlyArray<TopicPartitions>): Array<[string, ReadonlyArray<number>]> =>
  owned.map(({ partitions, topic }) => [topic, partitions])
const owners = (assignment: GroupAssignment): Map<string, string> =>
  new Map([...assignment].flatMap(([id, rows]) => pairsOf(rows).map((pair): [string, string] => [pair, id])))
const loads = (assignment: GroupAssignment): Array<number> => [...assignment.values()].map((rows) => pairsOf(rows).length)
const wanted = (topics: Topics, members: ReadonlyArray<MemberSubscription>): Array<string> => {
  const subscribed = new Set(members.flatMap((one) => one.topics))
  return [...topics].filter(([topic]) => subscribed.has(topic))
    .flatMap(([topic, { partitions }]) => Array.from({ length: partitions }, (_, p) => `${topic}:${p}`))
}

/** Nobody gets a topic that it did not ask for, everybody is in the answer, and nothing is given twice. */
const expectValid = (assignment: GroupAssignment, members: ReadonlyArray<MemberSubscription>): void => {
  expect([...assignment.keys()].sort()).toEqual(members.map((one) => one.memberId).sort())
  for (const { memberId, topics } of members) {
    for (const topic of assignment.get(memberId)!.keys()) expect(topics).toContain(topic)
  }
  const all = [...assignment.values()].flatMap(pairsOf)
  expect(new Set(all).size).toBe(all.length)
}

const settings = { seed: 23, numRuns: 400 }

describe.each([...assignors.values()].map((assignor): [string, Assignor] => [assignor.name, assignor]))("%s", (name, assignor) => {
  it("gives each partition that somebody subscribes to exactly once, whatever members claim", () => {
    fc.assert(fc.property(anyGroup, ([topics, members]) => {
      const assignment = assignor.assign(topics, members)
      expectValid(assignment, members)
      if (name !== "cooperative-sticky") {
        expect([...owners(assignment).keys()].sort()).toEqual(wanted(topics, members).sort())
      }
    }), settings)
  })

  it("answers the same again, and changes nothing that it was given", () => {
    fc.assert(fc.property(anyGroup, ([topics, members]) => {
      const before = JSON.stringify([...topics, ...members])
      const first = assignor.assign(topics, members)
      expect([...assignor.assign(topics, members)].map(([id, rows]) => [id, [...rows]]))
        .toEqual([...first].map(([id, rows]) => [id, [...rows]]))
      expect(JSON.stringify([...topics, ...members])).toBe(before)
    }), { ...settings, numRuns: 100 })
  })

  it("is even where all subscribe alike", () => {
    fc.assert(fc.property(anyTopics(false), anyMembers(true), (topics, members) => {
      const fresh = members.map((one) => member(one.memberId, one.topics))
      const assignment = assignor.assign(topics, fresh)
      if (name === "range") {
        for (const topic of topics.keys()) {
          const counts = [...assignment.values()].map((rows) => rows.get(topic)?.length ?? 0)
          expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
        }
      } else expect(Math.max(...loads(assignment)) - Math.min(...loads(assignment))).toBeLessThanOrEqual(1)
    }), settings)
  })

  it("of no members makes an empty assignment", () => {
    expect(assignor.assign(new Map([["a", { partitions: 3 }]]), []).size).toBe(0)
  })
})

describe("range and round-robin", () => {
  it("do not depend on the order in which members joined", () => {
    for (const assignor of [rangeAssignor, roundRobinAssignor]) {
      fc.assert(fc.property(anyGroup, ([topics, members]) => {
        expect(owners(assignor.assign(topics, members))).toEqual(owners(assignor.assign(topics, members.toReversed())))
      }), { ...settings, numRuns: 100 })
    }
  })

  it("range gives members the same partition numbers of topics that are cut alike", () => {
    fc.assert(fc.property(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 9 }), (partitions, count) => {
      const topics = new Map(NAMES.map((topic) => [topic, { partitions }]))
      const assignment = rangeAssignor.assign(topics, Array.from({ length: count }, (_, i) => member(`m${i}`, NAMES)))
      for (const rows of assignment.values()) {
        for (const topic of NAMES) expect(rows.get(topic)).toEqual(rows.get(NAMES[0]!))
      }
    }), settings)
  })

  it("range gives partitions to members in a replica's rack where the counts allow it", () => {
    const topics = new Map([["a", { partitions: 6, racks: Array.from({ length: 6 }, (_, p) => [RACKS[p % 3]!]) }]])
    const members = ["r2", "r1", "r0"].map((rackId, i) => member(`m${i}`, ["a"], { rackId }))
    expect(Object.fromEntries([...rangeAssignor.assign(topics, members)].map(([id, rows]) => [id, rows.get("a")])))
      .toEqual({ m0: [2, 5], m1: [1, 4], m2: [0, 3] })
  })
})

/** The same members, after each took over what it was given. */
const adopted = (
  members: ReadonlyArray<MemberSubscription>,
  assignment: GroupAssignment,
  generationId: number,
  assignor: Assignor
): Array<MemberSubscription> =>
  members.map((one) => {
    const partitions = [...assignment.get(one.memberId)!].map(([topic, numbers]) => ({ topic, partitions: numbers }))
    return {
      ...one,
      generationId,
      ownedPartitions: assignor.supportedProtocols.includes("COOPERATIVE") ? partitions : [],
      userData: assignor.subscriptionUserData(one.topics, { partitions, generationId })
    }
  })

/** Rounds until nothing moves any more, as members join again when they had to give something up. */
const settle = (assignor: Assignor, topics: Topics, members: ReadonlyArray<MemberSubscription>, firstGeneration: number) => {
  let now = [...members]
  for (let round = 0; round < 4; round++) {
    const assignment = assignor.assign(topics, now)
    const next = adopted(now, assignment, firstGeneration + round, assignor)
    if (JSON.stringify(next.map((one) => one.ownedPartitions)) === JSON.stringify(now.map((one) => one.ownedPartitions))) {
      return { assignment, members: next }
    }
    now = next
  }
  // eager members own nothing as they join: nothing to compare
  return { assignment: assignor.assign(topics, now), members: now }
}

const stayed = (before: Map<string, string>, after: Map<string, string>): number =>
  [...before].filter(([pair, id]) => after.get(pair) === id).length

describe.each([["sticky", stickyAssignor], ["cooperative-sticky", cooperativeStickyAssignor]] as const)("%s", (_name, assignor) => {
  const alikeGroup = fc.tuple(anyTopics(false), fc.integer({ min: 2, max: 9 }))
    .map(([topics, count]) => ({ topics, members: Array.from({ length: count }, (_, i) => member(`m${i}`, [...topics.keys()])) }))

  it("moves nothing of those that stay when a member leaves", () => {
    fc.assert(fc.property(alikeGroup, fc.nat(), ({ members, topics }, leaver) => {
      const first = settle(assignor, topics, members, 1)
      const left = members[leaver % members.length]!.memberId
      const before = new Map([...owners(first.assignment)].filter(([, id]) => id !== left))
      const after = settle(assignor, topics, first.members.filter((one) => one.memberId !== left), 10)
      expect(stayed(before, owners(after.assignment))).toBe(before.size)
      expect(owners(after.assignment).size).toBe(wanted(topics, members).length)
    }), settings)
  })

  it("moves only what a new member gets", () => {
    fc.assert(fc.property(alikeGroup, ({ members, topics }) => {
      const first = settle(assignor, topics, members, 1)
      const before = owners(first.assignment)
      const after = settle(assignor, topics, [...first.members, member("newcomer", [...topics.keys()])], 10)
      const gets = loads(after.assignment).at(-1)!
      const newLoad = [...owners(after.assignment).values()].filter((id) => id === "newcomer").length
      expect(before.size - stayed(before, owners(after.assignment))).toBe(newLoad)
      expect(newLoad).toBeLessThanOrEqual(Math.ceil(before.size / (members.length + 1)))
      expect(gets).toBeLessThanOrEqual(Math.ceil(before.size / (members.length + 1)))
    }), settings)
  })

  it("ends with an assignment in which no partition could move to a member with two fewer", () => {
    fc.assert(fc.property(anyTopics(false), anyMembers(false), (topics, given) => {
      const { assignment } = settle(assignor, topics, given.map((one) => member(one.memberId, one.topics)), 1)
      const load = new Map([...assignment].map(([id, rows]) => [id, pairsOf(rows).length]))
      for (const [pair, owner] of owners(assignment)) {
        for (const { memberId, topics: subscribed } of given) {
          if (!subscribed.includes(pair.slice(0, pair.lastIndexOf(":")))) continue
          expect(load.get(owner)! - load.get(memberId)!).toBeLessThanOrEqual(1)
        }
      }
    }), settings)
  })

  it("takes userData that it cannot read for a member that owned nothing", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (userData) => {
      const members = [member("a", ["topic-0"], { userData }), member("b", ["topic-0"], { userData: null })]
      expect(owners(assignor.assign(new Map([["topic-0", { partitions: 7 }]]), members)).size).toBe(7)
    }), settings)
  })
})

describe("cooperative-sticky", () => {
  /** A group in the middle of its life: what members own is what an earlier round gave them, all or part of it. */
  const livingGroup = fc.tuple(anyGroup, anyGroup, fc.array(fc.boolean(), { minLength: 60, maxLength: 60 }))
    .map(([[topics, earlier], [, now], keeps]) => {
      const settled = settle(cooperativeStickyAssignor, topics, earlier.map((one) => member(one.memberId, one.topics, { rackId: one.rackId })), 1)
      const owned = new Map(settled.members.map((one) => [one.memberId, one.ownedPartitions]))
      let at = 0
      const members = now.map((one) => ({
        ...one,
        userData: null,
        generationId: owned.has(one.memberId) ? 3 : -1,
        ownedPartitions: (owned.get(one.memberId) ?? []).filter(() => keeps[at++ % keeps.length])
      }))
      // some of the earlier members are there still
      const stays = settled.members.filter((one, i) => keeps[i] && !members.some((other) => other.memberId === one.memberId))
      return { topics, members: [...members, ...stays] }
    })

  it("never gives a partition in the round in which another member still holds it", () => {
    let withheld = 0
    fc.assert(fc.property(livingGroup, ({ members, topics }) => {
      const assignment = cooperativeStickyAssignor.assign(topics, members)
      expectValid(assignment, members)
      const given = owners(assignment)
      for (const { memberId, ownedPartitions } of members) {
        for (const pair of pairsOf(rowsOf(ownedPartitions))) expect([undefined, memberId]).toContain(given.get(pair))
      }
      withheld += wanted(topics, members).length - given.size
    }), settings)
    expect(withheld).toBeGreaterThan(100)
  })

  it("has given everything after some more rounds, in the next one where all subscribe alike and racks do not matter", () => {
    let longest = 0
    fc.assert(fc.property(livingGroup, ({ members, topics }) => {
      const all = wanted(topics, members).length
      const alike = new Set(members.map((one) => JSON.stringify(one.topics))).size === 1 && members.every((one) => !one.rackId)
      let now: Array<MemberSubscription> = members
      let rounds = 0
      for (let given = -1; given < all; rounds++) {
        expect(rounds).toBeLessThan(alike ? 2 : 8)
        const assignment = cooperativeStickyAssignor.assign(topics, now)
        given = owners(assignment).size
        now = adopted(now, assignment, 4 + rounds, cooperativeStickyAssignor)
      }
      longest = Math.max(longest, rounds)
    }), settings)
    expect(longest).toBeGreaterThan(1)
  })
})
