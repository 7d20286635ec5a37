/**
 * Generates core/protocol/generated from the facts in scripts/protocol. Run with `--check` it writes nothing and exits
 * with 1 when a file would change, is missing or is left over.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { emitFile, HEAD } from "./protocol/Emit.ts"
import { type ApiFacts, loadApis, loadErrors, loadMessages, type Message, resolve } from "./protocol/Facts.ts"

const target = new URL("../core/protocol/generated/", import.meta.url)

const apiTable = (apis: ReadonlyArray<ApiFacts>, messages: ReadonlyMap<string, Message>): string => {
  const rows = apis.flatMap((api) => {
    if (api.versions === null) return []
    const [oldest, latest] = api.versions
    const isUnstable = messages.get(`${api.name}Request`)?.facts.latestVersionUnstable === true
    const stable = api.latestStable ?? (isUnstable ? latest - 1 : latest)
    const row = {
      key: api.key,
      name: api.name,
      minVersion: oldest,
      maxVersion: stable,
      latestVersion: latest,
      advertisedMin: api.advertisedMin ?? oldest,
      requestFlexibleFrom: api.requestFlexibleFrom ?? 32767,
      responseFlexibleFrom: api.responseFlexibleFrom ?? 32767,
      listeners: api.listeners,
      clusterAction: api.clusterAction === true,
      forwardable: api.forwardable === true
    }
    const members = Object.entries(row).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}`)
    return [`  {\n${members.join(",\n")}\n  }`]
  })
  return `${HEAD}
import type { ApiFacts } from "../ApiFacts.ts"

export const apiTable: ReadonlyArray<ApiFacts> = [
${rows.join(",\n")}
]
`
}

const apiKeys = (apis: ReadonlyArray<ApiFacts>): string => {
  const live = apis.filter((api) => api.versions !== null)
  const members = (render: (api: ApiFacts) => string): string => live.map((api) => `  ${render(api)}`).join("\n")
  return `${HEAD}

export const ApiKey: {
${members((api) => `readonly ${api.name}: ${api.key}`)}
} = {
${live.map((api) => `  ${api.name}: ${api.key}`).join(",\n")}
}
`
}

const errorCodes = (): string => {
  const errors = loadErrors()
  const set = (test: (error: (typeof errors)[number]) => boolean): string =>
    errors.filter(test).map((error) => error.code).join(", ")
  return `${HEAD}

export const ErrorCode: {
${errors.map((error) => `  readonly ${error.name}: ${error.code}`).join("\n")}
} = {
${errors.map((error) => `  ${error.name}: ${error.code}`).join(",\n")}
}

/** Codes after which the same request may succeed. */
export const retriableCodes: ReadonlySet<number> = new Set([${set((error) => error.retriable)}])

/** Codes that tell a client that its metadata is stale. */
export const staleMetadataCodes: ReadonlySet<number> = new Set([${set((error) => error.refreshMetadata === true)}])
`
}

const codecs = (apis: ReadonlyArray<ApiFacts>): string => {
  const live = apis.filter((api) => api.versions !== null)
  const imports = live.map((api) => {
    const names = ["decode", "encode"].flatMap((verb) => [`${verb}${api.name}Request`, `${verb}${api.name}Response`])
    return `import {\n  ${names.join(",\n  ")}\n} from "./${api.name}.ts"`
  })
  const rows = live.map(
    (api) =>
      `  [${api.key}, {\n` +
      ["decodeRequest", "encodeRequest", "decodeResponse", "encodeResponse"]
        .map((name) => `    ${name}: ${name.replace(/(Request|Response)$/, `${api.name}$1`)}`)
        .join(",\n") +
      "\n  }]"
  )
  return `${HEAD}
import type { MessageCodecs } from "../Apis.ts"
${imports.join("\n")}

export const codecs: ReadonlyMap<number, MessageCodecs> = new Map<number, MessageCodecs>([
${rows.join(",\n")}
])
`
}

const recordTable = (name: string, comment: string, of: ReadonlyArray<Message>, strip: string): string => {
  const sorted = [...of].sort((a, b) => a.facts.apiKey! - b.facts.apiKey!)
  const suffix = new RegExp(`${strip}$`)
  const named = sorted.map(({ facts }) => [facts.name.replace(suffix, ""), facts.apiKey!] as const)
  return `/** ${comment} */
export const ${name}: {
${named.map(([key, value]) => `  readonly ${key}: ${value}`).join("\n")}
} = {
${named.map(([key, value]) => `  ${key}: ${value}`).join(",\n")}
}
`
}

/** The numbers by which a log's records name their schema: a metadata record's type, a coordinator key's version. */
const recordTypes = (messages: ReadonlyArray<Message>): string => {
  const keys = (name: string, topic: string, module: string): string => {
    const ofModule = messages.filter((m) => m.facts.kind === "coordinator-key" && m.facts.module === module)
    return recordTable(name, `The int16 before a key in ${topic}.`, ofModule, "Key")
  }
  return [
    HEAD,
    "",
    recordTable(
      "MetadataRecordType",
      "The type of a record in __cluster_metadata: the uvarint after its frame version.",
      messages.filter((m) => m.facts.kind === "metadata" && m.facts.module === "metadata"),
      ""
    ),
    keys("GroupRecordType", "__consumer_offsets", "group-coordinator"),
    keys("TransactionRecordType", "__transaction_state", "transaction-coordinator"),
    keys("ShareRecordType", "__share_group_state", "share-coordinator")
  ].join("\n")
}

const generate = (): ReadonlyMap<string, string> => {
  const messages = loadMessages().flatMap((facts) => resolve(facts) ?? [])
  const byName = new Map(messages.map((message) => [message.facts.name, message]))
  const apis = loadApis()
  const files = new Map<string, string>()
  for (const api of apis) {
    if (api.versions === null) continue
    const both = [byName.get(`${api.name}Request`)!, byName.get(`${api.name}Response`)!]
    files.set(`${api.name}.ts`, emitFile(both, "../", api))
  }
  for (const message of messages) {
    if (message.facts.kind === "request" || message.facts.kind === "response") continue
    files.set(`records/${message.facts.name}.ts`, emitFile([message], "../../"))
  }
  files.set("ApiTable.ts", apiTable(apis, byName))
  files.set("ApiKeys.ts", apiKeys(apis))
  files.set("ErrorCodes.ts", errorCodes())
  files.set("Codecs.ts", codecs(apis))
  files.set("RecordTypes.ts", recordTypes(messages))
  return files
}

const present = (): ReadonlyArray<string> =>
  ["", "records/"].flatMap((folder) =>
    readdirSync(new URL(folder || ".", target)).filter((name) => name.endsWith(".ts")).map((name) => folder + name)
  )

const files = generate()
mkdirSync(new URL("records/", target), { recursive: true })
const leftOver = present().filter((name) => !files.has(name))
const changed = [...files].filter(([name, text]) => {
  try {
    return readFileSync(new URL(name, target), "utf8") !== text
  } catch {
    return true
  }
})
if (process.argv.includes("--check")) {
  for (const [name] of changed) console.error(`core/protocol/generated/${name} is not what the facts give`)
  for (const name of leftOver) console.error(`core/protocol/generated/${name} is not generated any more`)
  if (changed.length + leftOver.length > 0) {
    console.error("run: node scripts/GenerateProtocol.ts")
    process.exitCode = 1
  } else console.log(`${files.size} generated files are up to date`)
} else {
  for (const [name, text] of changed) writeFileSync(new URL(name, target), text)
  for (const name of leftOver) rmSync(new URL(name, target))
  console.log(`${files.size} files, ${changed.length} written, ${leftOver.length} removed`)
}
