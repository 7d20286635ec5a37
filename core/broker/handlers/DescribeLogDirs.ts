/**
 * DescribeLogDirs, versions 1-5. Every log directory with the partitions in it and their sizes in bytes.
 *  - KIP-113 (1), KIP-827 (4): bytes of the volume, in all and usable; KIP-1066 (5): cordoned, never here
 * `topics` null: all. A topic or partition that is not here is left out, as in Kafka. The lag is what a consumer that
 * read to the high watermark has before it: log end - high watermark, as Kafka has it for current replicas.
 * Left out: future replicas (moving between directories).
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeDescribeLogDirsRequest, encodeDescribeLogDirsResponse } from "../../protocol/generated/DescribeLogDirs.ts"
import type { Partition } from "../../replication/Partition.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler } from "../Handler.ts"

export const makeDescribeLogDirs = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeLogDirs,
  minVersion: 1,
  maxVersion: 5,
  handle: ({ apiVersion }, reader) => {
    const request = decodeDescribeLogDirsRequest(reader, apiVersion)
    const asked = request.topics === null
      ? undefined
      : new Map(request.topics.map(({ partitions, topic }) => [topic, new Set(partitions)]))
    const byDirectory: Map<string, Map<string, Array<Partition>>> = new Map()
    for (const partition of broker.partitions.all()) {
      if (asked !== undefined && asked.get(partition.topic)?.has(partition.partition) !== true) continue
      const path = partition.log.directory.slice(0, partition.log.directory.lastIndexOf("/"))
      let topics = byDirectory.get(path)
      if (topics === undefined) byDirectory.set(path, topics = new Map())
      const partitions = topics.get(partition.topic)
      if (partitions === undefined) topics.set(partition.topic, [partition])
      else partitions.push(partition)
    }
    const results = broker.logManager.directories().map(({ isOnline, path, totalBytes, usableBytes }) => ({
      errorCode: isOnline ? ErrorCode.NONE : ErrorCode.KAFKA_STORAGE_ERROR,
      logDir: path,
      topics: [...(isOnline ? byDirectory.get(path) ?? [] : [])].map(([name, partitions]) => ({
        name,
        partitions: partitions.map((partition) => ({
          partitionIndex: partition.partition,
          partitionSize: partition.log.sizeInBytes,
          offsetLag: Math.max(0, partition.logEndOffset - partition.highWatermark),
          isFutureKey: false
        }))
      })),
      ...(apiVersion >= 4 ? { totalBytes, usableBytes } : {})
    }))
    return (writer) => encodeDescribeLogDirsResponse(writer, apiVersion, { throttleTimeMs: 0, results })
  }
})
