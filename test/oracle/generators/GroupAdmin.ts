/** FindCoordinator, DescribeGroups, ListGroups, DeleteGroups. */
import { type Fields, type Generator, someVersion, type World } from "../World.ts"
import { someGroup } from "./Groups.ts"

const someIds = (world: World, most: number): ReadonlyArray<string> => {
  const { random } = world
  return Array.from(new Set(Array.from({ length: random.int(1, most) }, () =>
    random.weighted([[10, someGroup(world).id], [2, `${world.prefix}-alone`], [2, `${world.prefix}-nobody`], [1, ""]]))))
}

export const findCoordinator: Generator = {
  api: "FindCoordinator",
  weight: 3,
  make: (world) => {
    const { random } = world
    const ids = someIds(world, 3)
    const keyType = random.weighted([[12, 0], [1, 2], [1, 7], [1, -1]])
    const coordinatorKeys = random.chance(8) ? [] : ids
    return {
      api: "FindCoordinator",
      version: someVersion(world, "FindCoordinator"),
      fields: () => ({ key: ids[0] ?? "", keyType, coordinatorKeys })
    }
  }
}

export const describeGroups: Generator = {
  api: "DescribeGroups",
  weight: 4,
  make: (world) => {
    const groups = world.random.chance(5) ? [] : someIds(world, 3)
    const includeAuthorizedOperations = world.random.chance(30)
    return {
      api: "DescribeGroups",
      version: someVersion(world, "DescribeGroups"),
      fields: () => ({ groups, includeAuthorizedOperations })
    }
  }
}

export const listGroups: Generator = {
  api: "ListGroups",
  weight: 4,
  make: (world) => {
    const { random } = world
    const states = random.weighted<ReadonlyArray<string>>([[6, []], [2, ["Stable"]], [1, ["stable", "Empty"]], [1, ["PreparingRebalance", "CompletingRebalance"]], [1, ["Dead"]], [1, ["nonsense"]], [1, ["empty", "nonsense"]]])
    const types = random.weighted<ReadonlyArray<string>>([[8, []], [2, ["classic"]], [1, ["Consumer"]], [1, ["CLASSIC", "share"]], [1, ["nonsense"]]])
    return {
      api: "ListGroups",
      version: someVersion(world, "ListGroups"),
      fields: () => ({ statesFilter: states, typesFilter: types }),
      // groups of earlier sequences are there, too
      view: (answer) => ({ ...answer, groups: (answer["groups"] as ReadonlyArray<Fields>).filter((group) => `${group["groupId"]}`.startsWith(`${world.prefix}-`)) })
    }
  }
}

export const deleteGroups: Generator = {
  api: "DeleteGroups",
  weight: 2,
  make: (world) => {
    const group = someGroup(world)
    const ids = world.random.weighted<ReadonlyArray<string>>([[6, [group.id]], [4, someIds(world, 3)], [1, []], [1, [group.id, group.id]]])
    return {
      api: "DeleteGroups",
      version: someVersion(world, "DeleteGroups"),
      fields: () => ({ groupsNames: ids }),
      group: group.id
    }
  }
}
