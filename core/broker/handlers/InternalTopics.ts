/** Internal topics are made when they are first needed, with what their coordinators need of them. */
import type { NewTopic } from "../../cluster/Commands.ts"
import type { BrokerConfig } from "../config/BrokerConfig.ts"

const internal = (
  name: string,
  numPartitions: number,
  replicationFactor: number,
  configs: Readonly<Record<string, string>>
): NewTopic => ({
  name,
  numPartitions,
  replicationFactor,
  assignments: [],
  configs: Object.entries(configs).map(([key, value]) => ({ name: key, value }))
})

/** Undefined for a topic that is not internal. */
export const internalTopic = (config: BrokerConfig, name: string): NewTopic | undefined => {
  switch (name) {
    case "__consumer_offsets":
      return internal(name, config.number("offsets.topic.num.partitions"), config.number("offsets.topic.replication.factor"), {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": String(config.number("offsets.topic.segment.bytes"))
      })
    case "__transaction_state":
      return internal(
        name,
        config.number("transaction.state.log.num.partitions"),
        config.number("transaction.state.log.replication.factor"),
        {
          "cleanup.policy": "compact",
          "compression.type": "uncompressed",
          "min.insync.replicas": String(config.number("transaction.state.log.min.isr")),
          "segment.bytes": String(config.number("transaction.state.log.segment.bytes")),
          "unclean.leader.election.enable": "false"
        }
      )
    case "__share_group_state":
      return internal(
        name,
        config.number("share.coordinator.state.topic.num.partitions"),
        config.number("share.coordinator.state.topic.replication.factor"),
        {
          "cleanup.policy": "delete",
          "compression.type": "uncompressed",
          "min.insync.replicas": String(config.number("share.coordinator.state.topic.min.isr")),
          "retention.ms": "-1",
          "segment.bytes": String(config.number("share.coordinator.state.topic.segment.bytes"))
        }
      )
    default:
      return undefined
  }
}
