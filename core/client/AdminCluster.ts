/** The Admin's cluster: its nodes and their log directories. */
import * as Effect from "effect/Effect"
import { ErrorCode } from "../protocol/ErrorCode.ts"
import { describeLogDirsApi } from "../protocol/generated/DescribeLogDirs.ts"
import { metadataApi } from "../protocol/generated/Metadata.ts"
import type { Admin, LogDir } from "./Admin.ts"
import { errorOfCode } from "./ClientError.ts"
import type { Cluster } from "./Cluster.ts"
import { metadataRequest } from "./internal/MetadataApi.ts"

export const clusterAdmin = (cluster: Cluster): Pick<Admin, "describeCluster" | "describeLogDirs"> => {
  const describeCluster: Admin["describeCluster"] = cluster.retry(Effect.gen(function*() {
    const nodeId = yield* cluster.anyNode
    const request = metadataRequest({ names: [], autoCreate: false })
    const { brokers, clusterId, controllerId } = yield* cluster.call(nodeId, "data", metadataApi, request)
    const nodes = new Map(brokers.map(({ host, nodeId, port, rack }) => [nodeId, { id: nodeId, host, port, rack }]))
    return { clusterId, controllerId, nodes }
  }))

  const logDirsOf = (nodeId: number): Effect.Effect<ReadonlyArray<LogDir>, ReturnType<typeof errorOfCode>> =>
    cluster.retry(Effect.gen(function*() {
      const answer = yield* cluster.call(nodeId, "data", describeLogDirsApi, { topics: null })
      if (answer.errorCode !== ErrorCode.NONE) {
        return yield* Effect.fail(errorOfCode(answer.errorCode, `log directories of broker ${nodeId}`))
      }
      return answer.results.map(({ errorCode, logDir, topics, totalBytes, usableBytes }): LogDir => ({
        nodeId,
        path: logDir,
        error: errorCode === ErrorCode.NONE ? undefined : errorOfCode(errorCode, `log directory ${logDir} of broker ${nodeId}`),
        totalBytes: Number(totalBytes),
        usableBytes: Number(usableBytes),
        replicas: topics.flatMap(({ name: topic, partitions }) =>
          partitions.map(({ isFutureKey, offsetLag, partitionIndex, partitionSize }) => ({
            topic,
            partition: partitionIndex,
            sizeBytes: Number(partitionSize),
            offsetLag: Number(offsetLag),
            isFuture: isFutureKey
          })))
      }))
    }))

  const describeLogDirs: Admin["describeLogDirs"] = (nodeIds) =>
    Effect.gen(function*() {
      // Also makes the nodes known that are asked.
      yield* cluster.controller
      const asked = nodeIds ?? [...cluster.view().nodes.keys()]
      return (yield* Effect.forEach(asked, logDirsOf, { concurrency: "unbounded" })).flat()
    })

  return { describeCluster, describeLogDirs }
}
