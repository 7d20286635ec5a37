/** One seed: a sequence of requests to both brokers, compared answer by answer. */
import type { Fields } from "../../scripts/peers/Calls.ts"
import { readBatches } from "./Batches.ts"
import type { Broker, Result } from "./Broker.ts"
import { canonical, type CanonicalContext, digest, type Tree } from "./Canonical.ts"
import { type Accepted, type Difference, differences, isAccepted, isMessage } from "./Differences.ts"
import { type Focus, focusOf, generators } from "./Generators.ts"
import { groupApis, groupOutcomes, isElection, leaders, leaveAll, withOutcome } from "./Groups.ts"
import { Random } from "./Random.ts"
import { isRaw, type Request, type Step, type World } from "./World.ts"

export interface Found extends Difference {
  readonly seed: number
  readonly request: number
  readonly api: string
  readonly version: number
  readonly asked: string
}

export interface Report {
  readonly requests: Map<string, number>
  /** `api error` to how often the judge answered so: what the sequences reached. */
  readonly errors: Map<string, number>
  readonly found: Array<Found>
  /** How often each accepted row was needed. */
  readonly accepted: Map<Accepted, number>
  /** Explanations in other words: `api path` to both. */
  readonly messages: Map<string, Difference>
  /** Sequences that ended where Kafka elects a leader by chance. */
  elections: number
}

export const emptyReport = (): Report => ({ requests: new Map(), errors: new Map(), found: [], accepted: new Map(), messages: new Map(), elections: 0 })

export interface SequenceOptions {
  readonly seed: number
  readonly requests: number
  readonly judge: Broker
  readonly subject: Broker
  readonly nowMs: number
  readonly versions: (api: string) => readonly [number, number] | undefined
  readonly accepted: ReadonlyArray<Accepted>
  readonly focus: Focus
  readonly report: Report
  /** Leaves the topics for whoever wants to look at them. */
  readonly keep?: boolean
  /** Told each step before it is sent. */
  readonly trace?: (line: string) => void
}

type Configs = ReadonlyArray<readonly [string, string]>

/** The first requests of every sequence: topics to work on. */
const openings = (world: World): ReadonlyArray<Request> => {
  const { random } = world
  const special = random.pick<Configs>([
    [["message.timestamp.type", "LogAppendTime"]],
    [["compression.type", random.pick(["gzip", "snappy", "lz4", "zstd", "uncompressed"])]],
    [["max.message.bytes", "2000"]],
    [["message.timestamp.before.max.ms", "86400000"], ["message.timestamp.after.max.ms", "60000"]],
    [["segment.bytes", "1048576"], ["index.interval.bytes", "0"]]
  ])
  return [opening(world, "a", 1, []), opening(world, "b", 2, [["cleanup.policy", "compact"]]), opening(world, "c", 2, special)]
}

const opening = (world: World, suffix: string, numPartitions: number, configs: Configs): Request => {
  const name = `${world.prefix}-${suffix}`
  const topic = { name, numPartitions, replicationFactor: 1, assignments: [], configs: configs.map(([key, value]) => ({ name: key, value })) }
  return {
    api: "CreateTopics",
    version: world.versions("CreateTopics")[1],
    fields: () => ({ topics: [topic], timeoutMs: 30_000, validateOnly: false }),
    settle: true,
    learn: (_answer, _side, isJudge) => {
      if (!isJudge) return
      const zeros = (): Array<number> => Array.from({ length: numPartitions }, () => 0)
      world.topics.push({ name, partitions: numPartitions, configs: new Map(configs), ends: zeros(), starts: zeros() })
    }
  }
}

const resultTree = (result: Result, context: CanonicalContext): Tree => {
  switch (result._tag) {
    case "Answer": return canonical(result.fields, context)
    case "Malformed": return { outcome: `malformed: ${result.error}` }
    case "Opaque": return { outcome: `answer ${Buffer.from(result.frame).toString("hex")}` }
    case "Sent": return {}
    default: return { outcome: result._tag }
  }
}

type Read = (result: Result) => Tree

const viewed = (step: Step, result: Result): Result =>
  result._tag === "Answer" && !isRaw(step) && step.view !== undefined ? { _tag: "Answer", fields: step.view(result.fields) } : result

const countErrors = (tree: Tree, api: string, errors: Map<string, number>): void => {
  if (typeof tree !== "object" || tree === null) return
  for (const [key, value] of Object.entries(tree as object)) {
    if (key === "group") continue
    if (key === "answers") {
      for (const [late, answers] of Object.entries(value as object)) countErrors(answers as Tree, late, errors)
      continue
    }
    if (key === "errorCode" || key === "outcome") errors.set(`${api} ${value}`, (errors.get(`${api} ${value}`) ?? 0) + 1)
    else countErrors(value as Tree, api, errors)
  }
}

/** What was asked, short enough for a line; bytes as their number. */
const showAsked = (step: Step, judge: Broker): string => {
  if (isRaw(step)) return step.describe
  return JSON.stringify(describeBytes(step.fields(judge.side))).slice(0, 2000)
}

const describeBytes = (value: unknown): unknown => {
  if (value instanceof Uint8Array) return describeRecords(value)
  if (typeof value === "bigint") return `${value}`
  if (Array.isArray(value)) return value.map(describeBytes)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, describeBytes(field)]))
}

const describeRecords = (bytes: Uint8Array): string => {
  const { batches, partialBytes } = readBatches(bytes)
  const shown = batches.map((b) =>
    `batch(codec ${b.codec} magic ${b.magic} crc ${b.crcIsRight ? "right" : "wrong"} attributes ${b.attributes} count ${b.count} lastOffsetDelta ${b.lastOffsetDelta} base/max timestamp ${b.baseTimestamp}/${b.maxTimestamp} producer ${b.producerId}/${b.producerEpoch}/${b.baseSequence} size ${b.sizeInBytes})`
  )
  return `${shown.join(" ")} + ${partialBytes} bytes`
}

const rememberSections = (step: Step, judge: Broker, sections: Set<string>): void => {
  if (isRaw(step) || step.api !== "Produce") return
  for (const topic of step.fields(judge.side)["topicData"] as ReadonlyArray<Fields>) {
    for (const partition of topic["partitionData"] as ReadonlyArray<Fields>) {
      if (partition["records"] === null) continue
      for (const batch of readBatches(partition["records"] as Uint8Array).batches) sections.add(digest(batch.section))
    }
  }
}

export const runSequence = async (options: SequenceOptions): Promise<void> => {
  const { judge, report, seed, subject } = options
  const world: World = {
    random: new Random(seed),
    prefix: `o${seed}`,
    nowMs: options.nowMs,
    topics: [],
    producers: [],
    groups: [],
    script: [],
    versions: (api) => options.versions(api) ?? [0, 0]
  }
  judge.reset()
  subject.reset()
  const focus = focusOf(seed, options.focus)
  const table = generators
    .filter(({ api }) => api === "raw" || options.versions(api) !== undefined)
    .map((generator) => [generator.weight * focus(generator.api), generator] as const)
    .filter(([weight]) => weight > 0)
  const sections = new Set<string>()
  const recompressed = new Set<string>()
  const opening = openings(world)
  for (let index = 0; index < options.requests; index++) {
    const step = opening[index] ?? world.script.shift()?.() ?? world.random.weighted(table).make(world)
    const [api, version] = isRaw(step) ? ["raw", 0] as const : [step.api, step.version] as const
    const asked = showAsked(step, judge)
    options.trace?.(`${seed}/${index} ${api} ${version} ${asked}`)
    rememberSections(step, judge, sections)
    report.requests.set(api, (report.requests.get(api) ?? 0) + 1)
    const begin = performance.now()
    const [expected, got] = await Promise.all([judge.perform(step), subject.perform(step)])
    if (!isRaw(step)) {
      if (expected._tag === "Answer") step.learn?.(expected.fields, judge.side, true)
      if (got._tag === "Answer") step.learn?.(got.fields, subject.side, false)
      // ids of topics that an answer names are known from here on, so that the answer itself compares
      if (step.settle === true) {
        await judge.settle(world)
        await settleSubject(options, world, index, api, version, asked)
      }
    }
    options.trace?.(`  ${expected._tag} and ${got._tag} after ${(performance.now() - begin).toFixed(0)} ms`)
    for (const topic of world.topics) if ((topic.configs.get("compression.type") ?? "producer") !== "producer") recompressed.add(topic.name)
    const context = { api, recompressed, runStartMs: options.nowMs, sections }
    const [readJudge, readSubject] = [judge, subject].map(({ side }) => (result: Result) => resultTree(viewed(step, result), { ...context, side })) as [Read, Read]
    const leadersBefore = leaders(world)
    let [tree, other] = [readJudge(expected), readSubject(got)]
    if (!isRaw(step) && step.group !== undefined) {
      const [judged, done] = await groupOutcomes(judge, subject, world, step)
      for (const late of judged.late) if (late.answer._tag === "Answer") late.step.learn?.(late.answer.fields, judge.side, true)
      for (const late of done.late) if (late.answer._tag === "Answer") late.step.learn?.(late.answer.fields, subject.side, false)
      ;[tree, other] = [withOutcome(tree, judged, readJudge), withOutcome(other, done, readSubject)]
    }
    countErrors(tree, api, report.errors)
    const found = differences(tree, other)
    if (found.length > 0) options.trace?.(`  kafka ${JSON.stringify(tree)}\n  ottla ${JSON.stringify(other)}`)
    if (isElection(found, leadersBefore)) {
      report.elections++
      break
    }
    const open = found.filter((difference) => note(options, { ...difference, seed, request: index, api, version, asked }))
    // from here on the two have different logs or topics: what follows would only repeat it
    if (open.some(({ fields }) => changesState(api, fields))) break
  }
  if (options.keep === true) return
  await deleteAll(judge, world)
  await deleteAll(subject, world)
}

/** The subject must come to the judge's view of the topics; when it does not, that is a difference and the judge's view counts. */
const settleSubject = async (options: SequenceOptions, world: World, request: number, api: string, version: number, asked: string): Promise<void> => {
  try {
    await options.subject.settle(world)
  } catch (error) {
    note(options, {
      seed: options.seed, request, api, version, asked,
      path: ".settled", fields: "settled", kafka: "\"yes\"", ottla: JSON.stringify(String(error))
    })
    throw error
  }
}

/** Files a difference; true when it is neither accepted nor one of words alone. */
const note = ({ accepted, report }: SequenceOptions, found: Found): boolean => {
  const row = isAccepted(accepted, found.api, found.version, found)
  if (row !== undefined) report.accepted.set(row, (report.accepted.get(row) ?? 0) + 1)
  else if (isMessage(found)) report.messages.set(`${found.api} ${found.fields} ${found.kafka.replace(/o\d+-\w+|\d+/g, "_")}`, found)
  else return report.found.push(found) > 0
  return false
}

const writes = new Set(["Produce", "CreateTopics", "DeleteTopics", "CreatePartitions", "DeleteRecords", "AlterConfigs", "IncrementalAlterConfigs", "InitProducerId"])

const changesState = (api: string, fields: string): boolean =>
  groupApis.has(api) ||
  (api === "Fetch" && /^(errorCode|sessionId)$/.test(fields)) ||
  writes.has(api) && (fields === "outcome" || /(errorCode|baseOffset|lowWatermark|producerId)$/.test(fields))

const deleteAll = async (broker: Broker, world: World): Promise<void> => {
  await leaveAll(broker, world)
  const topicNames = world.topics.filter(({ partitions }) => partitions > 0).map(({ name }) => name)
  if (topicNames.length > 0) await broker.ask("DeleteTopics", 5, { topicNames, timeoutMs: 30_000 })
}
