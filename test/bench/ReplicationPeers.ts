/** The clusters that the replication bench compares. */
import { type ClusterPeer, startKafkaCluster, startOttlaCluster } from "../../scripts/peers/Clusters.ts"
import type { Runtime } from "../../scripts/peers/Ottla.ts"
import type { Bench } from "./Report.ts"
import { REPLICATION_SETTINGS, type ReplicationContestant, replicationBench, type ReplicationOptions } from "./ReplicationBench.ts"

const contestant = (name: string, cluster: ClusterPeer): ReplicationContestant => ({ name, cluster })

const kafka = async (name: string): Promise<ReplicationContestant> =>
  contestant(name, await startKafkaCluster({ properties: REPLICATION_SETTINGS, heap: process.env["KAFKA_HEAP"] ?? "512m" }))

export const replication = async (options: ReplicationOptions & { readonly runtime: Runtime; readonly against: "ottla" | "kafka" }): Promise<Bench> => {
  const contestants: Array<ReplicationContestant> = []
  try {
    contestants.push(await kafka("Kafka"))
    contestants.push(options.against === "kafka"
      ? await kafka("Kafka again")
      : contestant("ottla", await startOttlaCluster({ runtime: options.runtime, overrides: REPLICATION_SETTINGS })))
    return await replicationBench(contestants, options)
  } finally {
    for (const { cluster } of contestants) await cluster.kill()
  }
}
