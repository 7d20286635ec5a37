/**
 * A thousand groups of one member: what they cost a broker at rest, and how many commits it takes.
 *
 * Both brokers run, with members in both, throughout: sessions live on heartbeats that the load sends to each, and
 * what is measured is one broker's own process.
 */
import { PeerError, type Peer, sleep } from "../../scripts/peers/Processes.ts"
import { cpuSeconds, createTopic, deleteTopic, memoryMb, type Metrics, medians, withCaller } from "./Measure.ts"
import { GroupLoad } from "./GroupLoad.ts"
import type { Bench, Row } from "./Report.ts"

export interface GroupsOptions {
  readonly quick: boolean
  readonly rounds: number
  readonly print: (line: string) => void
}

export interface GroupsContestant {
  readonly name: string
  readonly peer: Peer
}

const TOPIC = "bench-positions"

/** The topic of positions is created with the first question for a coordinator, which may have to be asked again. */
const awaitCoordinator = (peer: Peer): Promise<void> =>
  withCaller(peer, async (caller) => {
    for (let tries = 0; tries < 300; tries++) {
      const answer = await caller.ask("FindCoordinator", 3, { key: "group-0", keyType: 0 })
      if (answer["errorCode"] === 0) {
        const fetched = await caller.ask("OffsetFetch", 7, { groupId: "group-0", topics: null, requireStable: true })
        if (fetched["errorCode"] === 0) return
      }
      await sleep(100)
    }
    throw new PeerError(`${peer.name}: no coordinator within 30 s`)
  })

const measured = async <A>(peer: Peer, work: () => Promise<A>): Promise<readonly [A, { readonly cpu: number; readonly seconds: number }]> => {
  const [cpu, begin] = [cpuSeconds(peer.pid), performance.now()]
  const result = await work()
  return [result, { cpu: cpuSeconds(peer.pid) - cpu, seconds: (performance.now() - begin) / 1000 }]
}

/** Metrics by the name of the row that they belong to. */
type Round = ReadonlyMap<string, Metrics>

const oneRound = async (peer: Peer, load: GroupLoad, groups: number, seconds: { readonly rest: number; readonly commit: number }): Promise<Round> => {
  const [, joining] = await measured(peer, () => load.join())
  const [, resting] = await measured(peer, () => load.rest(seconds.rest))
  const memory = memoryMb(peer.pid)
  const [run, committing] = await measured(peer, () => load.commit(seconds.commit))
  await load.leave()
  const at = (share: number): number => run.latenciesUs[Math.min(run.commits - 1, Math.floor(run.commits * share))] ?? 0
  return new Map<string, Metrics>([
    ["joining", { "CPU us/group": (joining.cpu / groups) * 1e6, "groups/s": groups / joining.seconds }],
    ["heartbeats every 3 s, commits every 5 s", { "CPU %": (resting.cpu / resting.seconds) * 100, "memory MB": memory }],
    ["commits without a pause", {
      "commits/s": run.commits / run.seconds,
      "CPU us/commit": (committing.cpu / run.commits) * 1e6,
      "CPU %": (committing.cpu / committing.seconds) * 100,
      "p50 ms": at(0.5) / 1000,
      "p99 ms": at(0.99) / 1000,
      "memory MB": memoryMb(peer.pid)
    }]
  ])
}

/** One round to warm up (the quick form has none), then rounds in which the contestants take turns. The first contestant is what others are compared with. */
export const groupsBench = async (contestants: ReadonlyArray<GroupsContestant>, options: GroupsOptions): Promise<Bench> => {
  const groups = options.quick ? 100 : 1000
  const seconds = options.quick ? { rest: 2, commit: 1.5 } : { rest: 15, commit: 5 }
  const loads = contestants.map(() => new GroupLoad(TOPIC, groups))
  const rounds = contestants.map((): Array<Round> => [])
  try {
    for (const [index, { peer }] of contestants.entries()) {
      await createTopic(peer, TOPIC, 1)
      await awaitCoordinator(peer)
      await loads[index]!.connect(peer)
    }
    for (let round = options.quick ? 0 : -1; round < options.rounds; round++) {
      for (const [index, { name, peer }] of contestants.entries()) {
        const warm = { rest: 0.5, commit: seconds.commit }
        const metrics = await oneRound(peer, loads[index]!, groups, round < 0 ? warm : seconds)
        if (round < 0) continue
        rounds[index]!.push(metrics)
        options.print(`${name}: ${[...metrics].map(([row, values]) => `${row}: ${Object.entries(values).map(([k, v]) => `${k} ${v.toFixed(2)}`).join(" ")}`).join(" | ")}`)
      }
    }
    for (const { peer } of contestants) await deleteTopic(peer, TOPIC)
  } finally {
    for (const load of loads) load.close()
  }
  const names = [...rounds[0]![0]!.keys()]
  const rows = names.map((name): Row => ({
    name: `${groups} groups, ${name}`,
    results: contestants.map(({ name: contestant }, i) => ({ contestant, metrics: medians(rounds[i]!.map((round) => round.get(name)!)) }))
  }))
  return {
    what: "groups",
    title: "A thousand groups",
    about: `${groups} groups of one member, each with a connection of its own, joined and left in every round. ` +
      "At rest: heartbeats every 3 s and a commit every 5 s each, as Kafka's consumer by default; the share is of one core. " +
      "Commits: one position each, one in flight per member, the next as soon as it is answered; in the end the broker is asked whether it has them. " +
      "Kafka with a heap of 1 GB and group.initial.rebalance.delay.ms=0.",
    metrics: ["CPU %", "commits/s", "CPU us/commit", "p99 ms", "memory MB", "groups/s", "CPU us/group"],
    rows,
    rounds: options.rounds
  }
}
