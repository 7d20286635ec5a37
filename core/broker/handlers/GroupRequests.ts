/** Requests that name many groups: each goes to its coordinator's partition, and one answer is put together. */
import type { Answer, GroupsState, GroupsStep } from "../../groups/GroupsState.ts"
import type { GroupCoordinators } from "../GroupCoordinators.ts"

/**
 * Asks each partition for its groups, in the order in which the request first names one of them.
 * @param failed what is answered for a group that could not be asked for
 * @param complete called once, with an answer for each group
 */
export const byCoordinator = <Result>(
  coordinators: GroupCoordinators,
  groupIds: ReadonlyArray<string>,
  ask: (state: GroupsState, groupIds: ReadonlyArray<string>, answer: Answer<ReadonlyArray<Result>>) => GroupsStep,
  failed: (groupId: string, errorCode: number) => Result,
  complete: (results: ReadonlyArray<Result>) => void
): void => {
  const byPartition = new Map<number, Array<string>>()
  for (const groupId of groupIds) {
    const partition = coordinators.partitionFor(groupId)
    const ids = byPartition.get(partition)
    if (ids === undefined) byPartition.set(partition, [groupId])
    else ids.push(groupId)
  }
  const results: Array<ReadonlyArray<Result>> = []
  let missing = byPartition.size
  if (missing === 0) return complete([])
  let index = 0
  for (const [partition, ids] of byPartition) {
    const at = index++
    const answer = (result: ReadonlyArray<Result> | number): void => {
      results[at] = typeof result === "number" ? ids.map((groupId) => failed(groupId, result)) : result
      missing--
      if (missing === 0) complete(results.flat())
    }
    coordinators.runPartition(partition, (state) => ask(state, ids, answer), answer)
  }
}
