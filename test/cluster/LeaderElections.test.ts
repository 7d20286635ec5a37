import { describe, expect, it } from "vitest"
import { ElectionType } from "../../core/cluster/Commands.ts"
import { decideElectLeaders } from "../../core/cluster/LeaderElections.ts"
import { ErrorCode } from "../../core/protocol/ErrorCode.ts"
import { brokersWithout, contextOf, imageOf, partitionOf, PartitionWorld, written } from "./PartitionWorld.ts"

const worldOf = (over: Parameters<typeof partitionOf>[0] = {}, minIsr = 1, fenced: ReadonlyArray<number> = []) =>
  new PartitionWorld(partitionOf(over), brokersWithout(...fenced), contextOf(minIsr))

const { PREFERRED, UNCLEAN } = ElectionType

describe("an election that is asked for", () => {
  it("gives leadership to the first replica, if that is in the ISR", () => {
    const world = worldOf({ leader: 2 })
    expect(world.elect(PREFERRED)).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({ leader: 1, isr: [1, 2, 3], leaderEpoch: 4, partitionEpoch: 6 })
    expect(world.elect(PREFERRED)).toBe(ErrorCode.ELECTION_NOT_NEEDED)
    expect(worldOf({ leader: 2, isr: [2, 3] }).elect(PREFERRED)).toBe(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
    expect(worldOf({ leader: 2, isr: [2, 3], elr: [1] }, 3).elect(PREFERRED)).toBe(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
  })

  it("does not elect a first replica that is gone, but another where there is no leader", () => {
    const gone = worldOf({ leader: 2, isr: [2, 3] }, 1, [1])
    expect(gone.elect(PREFERRED)).toBe(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE)
    const none = worldOf({ leader: -1, isr: [2] }, 1, [1])
    expect(none.elect(PREFERRED)).toBe(ErrorCode.NONE)
    expect(none.partition).toMatchObject({ leader: 2 })
  })

  it("prefers the first replica within an ELR when the ISR is empty", () => {
    const world = worldOf({ leader: -1, isr: [], elr: [1, 2] }, 2)
    expect(world.elect(PREFERRED)).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({ leader: 1, isr: [1], elr: [2], replicas: [1, 2, 3] })
  })

  it("takes any live replica where there is no leader, when it may be unclean", () => {
    const world = worldOf({ leader: -1, isr: [3] }, 1, [3])
    expect(world.elect(UNCLEAN)).toBe(ErrorCode.NONE)
    expect(world.partition).toMatchObject({ leader: 1, isr: [1], elr: [], leaderEpoch: 4 })
    expect(world.elect(UNCLEAN)).toBe(ErrorCode.ELECTION_NOT_NEEDED)
    expect(worldOf({ leader: -1, isr: [3] }, 1, [1, 2, 3]).elect(UNCLEAN)).toBe(ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE)
    // Cleanly where that can be.
    const clean = worldOf({ leader: -1, isr: [3] }, 1, [])
    clean.elect(UNCLEAN)
    expect(clean.partition.leader).toBe(3)
  })

  it("says which election may have lost records", () => {
    const decide = (isr: ReadonlyArray<number>, fenced: ReadonlyArray<number>) =>
      decideElectLeaders(
        imageOf(partitionOf({ leader: -1, isr }), brokersWithout(...fenced)),
        [{ topic: "t", partition: 0 }],
        UNCLEAN,
        contextOf()
      )[0]?.result.election?.unclean
    expect(decide([3], [3])).toBe(true)
    expect(decide([3], [])).toBe(false)
  })

  it("is refused with Kafka's errors and words", () => {
    const answers = decideElectLeaders(
      imageOf(partitionOf({ isr: [1, 2] }), brokersWithout()),
      [{ topic: "u", partition: 0 }, { topic: "t", partition: 1 }, { topic: "t", partition: 0 }],
      PREFERRED,
      contextOf()
    ).map(({ change, result: { error, message } }) => [error, message, written(change)])
    expect(answers).toEqual([
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "No such topic as u", undefined],
      [ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, "No such partition as t-1", undefined],
      [ErrorCode.ELECTION_NOT_NEEDED, "Leader election not needed for topic partition.", undefined]
    ])
  })
})

describe("balancing", () => {
  it("gives leadership back to first replicas that may lead, and touches nothing else", () => {
    const world = worldOf({ leader: 3 })
    expect(world.balance()).toBe(1)
    expect(world.partition).toMatchObject({ leader: 1, leaderEpoch: 4 })
    expect(world.balance()).toBe(0)
    expect(worldOf({ leader: 2, isr: [2, 3] }).balance()).toBe(0)
    expect(worldOf({ leader: 2 }, 1, [1]).balance()).toBe(0)
    expect(worldOf({ leader: -1, isr: [2] }, 1, [2]).balance()).toBe(0)
  })
})
