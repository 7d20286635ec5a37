/** How a group's partitions are spread over its members: Kafka's four assignors of the classic protocol. */
import type { Assignor } from "./Assignor.ts"
import { rangeAssignor } from "./Range.ts"
import { roundRobinAssignor } from "./RoundRobin.ts"
import { cooperativeStickyAssignor, stickyAssignor } from "./Sticky.ts"

export type * from "./Assignor.ts"
export { cooperativeStickyAssignor, rangeAssignor, roundRobinAssignor, stickyAssignor }

/** By the name that `partition.assignment.strategy` and JoinGroup call it. */
export const assignors: ReadonlyMap<string, Assignor> = new Map(
  [rangeAssignor, roundRobinAssignor, stickyAssignor, cooperativeStickyAssignor].map((one) => [one.name, one])
)
