/** One measurement against one broker, and what several of them come to. */
import { readFileSync } from "node:fs"
import { blast } from "../../scripts/peers/Blast.ts"
import { Caller, type Fields } from "../../scripts/peers/Calls.ts"
import { type Peer, PeerError, runOrThrow, sleep } from "../../scripts/peers/Processes.ts"

/** Name of a metric to its value in one round. */
export type Metrics = { readonly [name: string]: number }

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] ?? 0 : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2
}

export const medians = (rounds: ReadonlyArray<Metrics>): Metrics =>
  Object.fromEntries(Object.keys(rounds[0] ?? {}).map((name) => [name, median(rounds.map((round) => round[name] ?? 0))]))

export const withCaller = async <A>(peer: Peer, use: (caller: Caller) => Promise<A>): Promise<A> => {
  const caller = await Caller.connect(peer.host, peer.port)
  try {
    return await use(caller)
  } finally {
    caller.close()
  }
}

export const createTopic = (peer: Peer, name: string, partitions: number): Promise<void> =>
  withCaller(peer, async (caller) => {
    const answer = await caller.ask("CreateTopics", 5, {
      topics: [{ name, numPartitions: partitions, replicationFactor: 1, assignments: [], configs: [{ name: "retention.ms", value: "-1" }] }],
      timeoutMs: 60_000,
      validateOnly: false
    }, 120_000)
    const error = (answer["topics"] as ReadonlyArray<Fields>)[0]?.["errorCode"] as number
    if (error !== 0) throw new PeerError(`${peer.name}: creating ${name}: error ${error}`)
    for (let last = -1; last !== 0; await sleep(10)) {
      const offsets = await caller.ask("ListOffsets", 6, {
        replicaId: -1,
        isolationLevel: 0,
        topics: [{ name, partitions: Array.from({ length: partitions }, (_, partitionIndex) => ({ partitionIndex, currentLeaderEpoch: -1, timestamp: -1 })) }]
      })
      last = Math.max(...(offsets["topics"][0]["partitions"] as ReadonlyArray<Fields>).map((one) => one["errorCode"] as number))
    }
  })

export const deleteTopic = (peer: Peer, name: string): Promise<void> =>
  withCaller(peer, async (caller) => void await caller.ask("DeleteTopics", 5, { topicNames: [name], timeoutMs: 60_000 }, 120_000))

interface BlastReport {
  readonly mb_per_s: number
  readonly requests_per_s: number
  readonly latency_us: { readonly p50: number; readonly p99: number }
  readonly broker_cpu: { readonly s_per_gb: number; readonly user_s_per_gb: number; readonly us_per_request: number; readonly user_us_per_request: number }
}

/** Runs the load generator against a topic. */
export const blastAt = async (peer: Peer, command: "produce" | "fetch", topic: string, args: ReadonlyArray<string>): Promise<Metrics> => {
  const { stdout } = await runOrThrow(await blast(), [
    command, "--broker", peer.bootstrap, "--topic", topic, "--pid", `${peer.pid}`, "--json", ...args
  ], { timeoutMs: 600_000 })
  const report = JSON.parse(stdout) as BlastReport
  return {
    "MB/s": report.mb_per_s,
    "requests/s": report.requests_per_s,
    "CPU s/GB": report.broker_cpu.s_per_gb,
    "user CPU s/GB": report.broker_cpu.user_s_per_gb,
    "CPU us/request": report.broker_cpu.us_per_request,
    "p50 us": report.latency_us.p50,
    "p99 us": report.latency_us.p99
  }
}

/** Resident memory of a process in MB (Linux). */
export const memoryMb = (pid: number): number => {
  const line = /^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))
  return Number(line?.[1] ?? 0) / 1024
}

/** Processor time that a process and its threads have used, in seconds (Linux; counted in hundredths). */
export const processorSeconds = (pid: number): { readonly user: number; readonly system: number } => {
  // the name in brackets may have spaces in it
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
  return { user: Number(fields[11]) / 100, system: Number(fields[12]) / 100 }
}

/** Of both kinds together. */
export const cpuSeconds = (pid: number): number => {
  const { system, user } = processorSeconds(pid)
  return user + system
}
