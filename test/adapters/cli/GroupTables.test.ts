/** The expected tables are what Kafka 4.3.1's kafka-consumer-groups printed of such groups. */
import { describe, expect, it } from "vitest"
import {
  deletedTable,
  inMapOrder,
  listLines,
  membersTable,
  offsetRows,
  offsetsTable,
  partitionHash,
  resetCsv,
  resetTable,
  stateTable
} from "../../../adapters/cli/GroupTables.ts"
import type { GroupDescription, GroupMember } from "../../../core/client/Admin.ts"

const partitions = (topic: string, ...ids: ReadonlyArray<number>) => ids.map((partition) => ({ topic, partition }))

const member = (memberId: string, fields: Partial<GroupMember> = {}): GroupMember => ({
  memberId,
  groupInstanceId: null,
  clientId: "console-consumer",
  clientHost: "/127.0.0.1",
  assignment: [],
  ...fields
})

const group = (fields: Partial<GroupDescription> = {}): GroupDescription => ({
  groupId: "live",
  state: "Stable",
  protocolType: "consumer",
  protocol: "range",
  coordinator: 1,
  members: [],
  ...fields
})

describe("a list of groups", () => {
  const groups = ["g2", "g1", "console-consumer-66691"].map((groupId) => ({ groupId, protocolType: "consumer", state: "Empty", type: "classic" }))

  it("is their ids in the order of a Java map", () => {
    expect(listLines(groups, false, false)).toEqual(["console-consumer-66691", "g1", "g2"])
  })

  it("has columns for types and states", () => {
    expect(listLines(groups, true, true)).toEqual([
      "GROUP                            TYPE                 STATE               ",
      "console-consumer-66691           Classic              Empty               ",
      "g1                               Classic              Empty               ",
      "g2                               Classic              Empty               "
    ])
    expect(listLines([], false, true)).toEqual(["GROUP                     STATE               "])
  })
})

describe("a group's offsets", () => {
  const committed = [{ topic: "f1", partition: 1, offset: 0 }, { topic: "f1", partition: 0, offset: 5, leaderEpoch: 3 }]
  const ends = new Map([["f1-0", 12], ["f1-1", 8], ["zz-6", 0]])

  it("stand in a row for each partition: those of members first, then those of nobody", () => {
    const owner = member("console-consumer-ce875320-596c-4447-9c7c-ea4ef7ac6373", { assignment: partitions("zz", 10, 6) })
    const table = offsetsTable(offsetRows(group({ members: [member("idle"), owner] }), committed, ends), false)
    const id = "console-consumer-ce875320-596c-4447-9c7c-ea4ef7ac6373"
    expect(table.split("\n")).toEqual([
      "",
      "GROUP           TOPIC           PARTITION  CURRENT-OFFSET  LOG-END-OFFSET  LAG             CONSUMER-ID                                           HOST            CLIENT-ID",
      `live            zz              6          -               0               -               ${id} /127.0.0.1      console-consumer`,
      `live            zz              10         -               -               -               ${id} /127.0.0.1      console-consumer`,
      "live            f1              0          5               12              7               -                                                     -               -",
      "live            f1              1          0               8               8               -                                                     -               -",
      ""
    ])
  })

  it("have leader epochs on demand", () => {
    const table = offsetsTable(offsetRows(group(), committed, ends), true)
    expect(table.split("\n")[1]).toContain("PARTITION  LEADER-EPOCH    CURRENT-OFFSET")
    expect(table.split("\n")[2]).toContain("live            f1              0          3               5 ")
    expect(table.split("\n")[3]).toContain("live            f1              1          -               0 ")
  })
})

describe("a group's members", () => {
  const members = [
    member("console-consumer-ce875320-596c-4447-9c7c-ea4ef7ac6373", { assignment: partitions("zz", 6, 11, 10, 7, 8, 9) }),
    member("me-8c71b97c-3d8a-453d-8cda-262808d6f467", { groupInstanceId: "me", clientId: "other", assignment: partitions("zz", 0, 1, 2, 3, 4, 5) })
  ]

  it("are shown with what they own", () => {
    expect(membersTable(group({ members }), true).split("\n")).toEqual([
      "",
      "GROUP           CONSUMER-ID                                           GROUP-INSTANCE-ID HOST            CLIENT-ID        #PARTITIONS     CURRENT-EPOCH   CURRENT-ASSIGNMENT   TARGET-EPOCH    TARGET-ASSIGNMENT   ",
      "live            console-consumer-ce875320-596c-4447-9c7c-ea4ef7ac6373                   /127.0.0.1      console-consumer 6               -               zz:6,7,8,9,10,11     -               -                   ",
      "live            me-8c71b97c-3d8a-453d-8cda-262808d6f467               me                /127.0.0.1      other            6               -               zz:0,1,2,3,4,5       -               -                   ",
      ""
    ])
  })

  it("may be none", () => {
    expect(membersTable(group(), false)).toBe("\nGROUP           CONSUMER-ID     HOST            CLIENT-ID       #PARTITIONS     \n")
  })
})

it("a group's state names its coordinator", () => {
  expect(stateTable(group({ members: [member("a"), member("b")] }), "127.0.0.1:19292  (1)", true).split("\n")).toEqual([
    "",
    "GROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                GROUP-EPOCH     TARGET-ASSIGNMENT-EPOCH   #MEMBERS",
    "live            127.0.0.1:19292  (1)      range                Stable               -               -                         2",
    ""
  ])
  expect(stateTable(group({ groupId: "g1", state: "Empty", protocol: "" }), "127.0.0.1:19292  (1)", false)).toBe(
    "\nGROUP           COORDINATOR (ID)          ASSIGNMENT-STRATEGY  STATE                #MEMBERS" +
      "\ng1              127.0.0.1:19292  (1)      -                    Empty                0\n"
  )
})

describe("new offsets", () => {
  it("stand in the order of Java's maps, as a table and as CSV", () => {
    const all = partitions("zz", 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
    expect(inMapOrder(all, partitionHash).map(({ partition }) => partition)).toEqual([1, 0, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2])
    const offsets = [{ topic: "f1", partition: 0, offset: 12 }, { topic: "zz", partition: 7, offset: 500 }, { topic: "f1", partition: 1, offset: 8 }]
    expect(resetCsv(new Map([["g3", offsets], ["g2", offsets]]), false)).toBe(
      "g2,zz,7,500\ng2,f1,1,8\ng2,f1,0,12\ng3,zz,7,500\ng3,f1,1,8\ng3,f1,0,12\n\n"
    )
    expect(resetCsv(new Map([["g2", offsets.slice(1, 2)]]), true)).toBe("zz,7,500\n\n")
    expect(resetTable(new Map([["g2", offsets.slice(1, 2)]]))).toBe(
      "\nGROUP           TOPIC           PARTITION  NEW-OFFSET\ng2              zz              7          500\n"
    )
    expect(resetTable(new Map())).toBe("\n")
  })
})

it("deleted offsets tell what became of each", () => {
  const error = "org.apache.kafka.common.errors.UnknownTopicOrPartitionException: This server does not host this topic-partition."
  expect(deletedTable([
    { topic: "zz", partition: 2, error: undefined },
    { topic: "zz", partition: 10, error: undefined },
    { topic: "nope3", partition: undefined, error },
    { topic: "f1", partition: 9, error }
  ])).toBe(
    "\nTOPIC           PARTITION  STATUS         " +
      `\nf1              9          Error: ${error}` +
      `\nnope3           -          Error: ${error}` +
      "\nzz              10         Successful     " +
      "\nzz              2          Successful     \n"
  )
})
