/** A broker for tests of groups: a topic `t` of 2 partitions, and clients that know the group APIs. */
import * as Effect from "effect/Effect"
import type { Scope } from "effect/Scope"
import * as TestClock from "effect/testing/TestClock"
import type { BrokerStartError } from "../../../core/broker/Broker.ts"
import type { JoinGroupResponse } from "../../../core/protocol/generated/JoinGroup.ts"
import type { RpcError } from "../../../core/rpc/RpcConnection.ts"
import { makeWorld, type Overrides, type RunningBroker, startBroker, type TestClient, type World } from "../TestBroker.ts"
import { GroupClient, type JoinOptions } from "./GroupClient.ts"

export interface GroupBroker extends RunningBroker {
  readonly world: World
  readonly client: TestClient
  /** On a connection of its own: a JoinGroup that waits holds back what comes behind it. */
  readonly connectGroup: Effect.Effect<GroupClient, RpcError, Scope>
  readonly group: GroupClient
}

export const startOn = (
  world: World,
  overrides: Overrides = {}
): Effect.Effect<GroupBroker, BrokerStartError | RpcError, Scope> =>
  Effect.gen(function*() {
    const running = yield* startBroker(world, overrides)
    const connectGroup = Effect.map(running.connect, ({ rpc }) => new GroupClient(rpc))
    return { ...running, world, client: yield* running.connect, connectGroup, group: yield* connectGroup }
  })

/** With a coordinator for every group. */
export const startGroups = (overrides: Overrides = {}): Effect.Effect<GroupBroker, BrokerStartError | RpcError, Scope> =>
  Effect.gen(function*() {
    const running = yield* startOn(yield* makeWorld(), overrides)
    yield* running.client.createTopic("t", 2)
    yield* running.group.find("g")
    return running
  })

/** A group of one member that was assigned "all of it". */
export const stableGroup = (
  group: GroupClient,
  groupId = "g",
  options: JoinOptions = {}
): Effect.Effect<JoinGroupResponse, RpcError> =>
  Effect.gen(function*() {
    const joined = yield* options.groupInstanceId === undefined
      ? group.joinNew(groupId, options)
      : group.join(groupId, options)
    yield* group.sync(groupId, joined, { [joined.memberId]: "all of it" })
    return joined
  })

/** Lets everything that can happen without time passing happen. */
export const settle: Effect.Effect<void> = TestClock.adjust(0).pipe(
  Effect.andThen(Effect.yieldNow),
  Effect.repeat({ times: 50 }),
  Effect.asVoid
)
