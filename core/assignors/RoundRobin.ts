/**
 * All partitions of all topics in order, one to each member in turn, past those that do not subscribe to the topic. Even
 * when all members subscribe alike, else perhaps not.
 */
import type { Assignor } from "./Assignor.ts"
import { compareStrings } from "./HashOrder.ts"
import { compareMembers, grouped, type Part, subscribedTopics } from "./Members.ts"

export const roundRobinAssignor: Assignor = {
  name: "roundrobin",
  supportedProtocols: ["EAGER"],
  subscriptionUserData: () => null,
  assign: (topics, members) => {
    const assignment = new Map(members.map(({ memberId }): [string, Array<Part>] => [memberId, []]))
    const circle = members.toSorted(compareMembers).map((member) => ({
      row: assignment.get(member.memberId)!,
      topics: new Set(member.topics)
    }))
    let turn = 0
    for (const topic of subscribedTopics(topics, members).sort(compareStrings)) {
      const { partitions } = topics.get(topic)!
      for (let partition = 0; partition < partitions; partition++) {
        // ends: somebody subscribes to each of these topics
        while (!circle[turn]!.topics.has(topic)) turn = (turn + 1) % circle.length
        circle[turn]!.row.push({ topic, partition })
        turn = (turn + 1) % circle.length
      }
    }
    return grouped(assignment)
  }
}
