/** The commands and their names: Kafka's own (`kafka-topics`, `bin/kafka-topics.sh`) and ours without `kafka-`. */

/** What each does, for `ottla --help`. */
export const commands = {
  start: "run a broker, or several, until SIGINT or SIGTERM",
  cluster: "a cluster's id and endpoints; describe brokers that run together, kill and start one",
  topics: "list, describe, create, alter and delete topics",
  "console-producer": "send lines of standard input as records",
  "console-consumer": "print records of topics",
  "consumer-groups": "list, describe, reset and delete consumer groups",
  "reassign-partitions": "move partitions to other brokers",
  "leader-election": "elect leaders of partitions",
  storage: "make a cluster id, format log directories with it"
} as const

export type CommandName = keyof typeof commands

/** As Kafka calls what we call otherwise. */
const otherNames: Readonly<Record<string, CommandName>> = { "server-start": "start" }

/** Undefined: there is none of that name. */
export const commandNamed = (word: string): CommandName | undefined => {
  const name = word.replace(/^.*[/\\]/, "").replace(/\.(sh|bat)$/, "").replace(/^kafka-/, "")
  if (Object.hasOwn(commands, name)) return name as CommandName
  return Object.hasOwn(otherNames, name) ? otherNames[name] : undefined
}

/** What Kafka's kafka-cluster does, which goes by the name of our `cluster`: the word behind it. */
const endpointWords = ["cluster-id", "list-endpoints", "unregister"] as const
export type EndpointWord = (typeof endpointWords)[number]

/** Undefined: it is about the brokers of one process, or nothing. */
export const endpointWord = (word: string | undefined): EndpointWord | undefined => endpointWords.find((one) => one === word)
