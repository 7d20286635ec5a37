/**
 * DescribeCluster, versions 0-2. Cluster id, controller and brokers, with this connection's listener's addresses.
 *  - KIP-700 (0). KIP-919 (1): endpoint types; we have brokers (1) only. KIP-1073 (2): fenced brokers when asked for.
 * Left out: authorisation, controllers of their own.
 */
import { ApiKey } from "../../protocol/ApiKey.ts"
import { ErrorCode } from "../../protocol/ErrorCode.ts"
import { decodeDescribeClusterRequest, encodeDescribeClusterResponse } from "../../protocol/generated/DescribeCluster.ts"
import type { BrokerServices } from "../BrokerServices.ts"
import type { Handler, ResponseBody } from "../Handler.ts"
import { CLUSTER_OPERATIONS, controllerFor, OPERATIONS_NOT_ASKED } from "./MetadataAnswer.ts"

const BROKERS = 1
const CONTROLLERS = 2

const refuse = (version: number, errorCode: number, errorMessage: string): ResponseBody => (writer) =>
  encodeDescribeClusterResponse(writer, version, { throttleTimeMs: 0, errorCode, errorMessage, clusterId: "", brokers: [] })

export const makeDescribeCluster = (broker: BrokerServices): Handler => ({
  apiKey: ApiKey.DescribeCluster,
  minVersion: 0,
  maxVersion: 2,
  handle: ({ apiVersion, connection }, reader) => {
    const request = decodeDescribeClusterRequest(reader, apiVersion)
    if (request.endpointType === CONTROLLERS) {
      return refuse(
        apiVersion,
        ErrorCode.MISMATCHED_ENDPOINT_TYPE,
        "The request was sent to an endpoint of type BROKER, but we wanted an endpoint of type CONTROLLER"
      )
    }
    if (request.endpointType !== BROKERS) {
      return refuse(apiVersion, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE, `Unsupported endpoint type ${request.endpointType}`)
    }
    const image = broker.image()
    const { listenerName } = connection
    const brokers = [...image.brokers.values()].sort((a, b) => a.id - b.id).flatMap(({ fenced, id, listeners, rack }) => {
      const endpoint = listeners.find(({ name }) => name === listenerName)
      return endpoint === undefined || (fenced && !request.includeFencedBrokers)
        ? []
        : [{ brokerId: id, host: endpoint.host, port: endpoint.port, rack, isFenced: fenced }]
    })
    return (writer) =>
      encodeDescribeClusterResponse(writer, apiVersion, {
        throttleTimeMs: 0,
        errorCode: ErrorCode.NONE,
        clusterId: image.clusterId,
        controllerId: controllerFor(image, listenerName, broker.brokerId),
        brokers,
        clusterAuthorizedOperations: request.includeClusterAuthorizedOperations ? CLUSTER_OPERATIONS : OPERATIONS_NOT_ASKED
      })
  }
})
