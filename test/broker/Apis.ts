/** The APIs that tests call, each at any of its versions. */
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import * as ApiVersions from "../../core/protocol/generated/ApiVersions.ts"
import * as CreateTopics from "../../core/protocol/generated/CreateTopics.ts"
import * as DeleteRecords from "../../core/protocol/generated/DeleteRecords.ts"
import * as DeleteTopics from "../../core/protocol/generated/DeleteTopics.ts"
import * as DescribeCluster from "../../core/protocol/generated/DescribeCluster.ts"
import * as DescribeLogDirs from "../../core/protocol/generated/DescribeLogDirs.ts"
import * as DescribeProducers from "../../core/protocol/generated/DescribeProducers.ts"
import * as Fetch from "../../core/protocol/generated/Fetch.ts"
import * as IncrementalAlterConfigs from "../../core/protocol/generated/IncrementalAlterConfigs.ts"
import * as InitProducerId from "../../core/protocol/generated/InitProducerId.ts"
import * as ListOffsets from "../../core/protocol/generated/ListOffsets.ts"
import * as Metadata from "../../core/protocol/generated/Metadata.ts"
import * as OffsetForLeaderEpoch from "../../core/protocol/generated/OffsetForLeaderEpoch.ts"
import * as Produce from "../../core/protocol/generated/Produce.ts"
import { type RpcApi, rpcApi } from "../../core/rpc/RpcApi.ts"

export const produceApi: RpcApi<Produce.ProduceRequestInput, Produce.ProduceResponse> = rpcApi(
  ApiKey.Produce,
  Produce.encodeProduceRequest,
  Produce.decodeProduceResponse
)
export const fetchApi: RpcApi<Fetch.FetchRequestInput, Fetch.FetchResponse> = rpcApi(
  ApiKey.Fetch,
  Fetch.encodeFetchRequest,
  Fetch.decodeFetchResponse
)
export const listOffsetsApi: RpcApi<ListOffsets.ListOffsetsRequestInput, ListOffsets.ListOffsetsResponse> = rpcApi(
  ApiKey.ListOffsets,
  ListOffsets.encodeListOffsetsRequest,
  ListOffsets.decodeListOffsetsResponse
)
export const metadataApi: RpcApi<Metadata.MetadataRequestInput, Metadata.MetadataResponse> = rpcApi(
  ApiKey.Metadata,
  Metadata.encodeMetadataRequest,
  Metadata.decodeMetadataResponse
)
export const apiVersionsApi: RpcApi<ApiVersions.ApiVersionsRequestInput, ApiVersions.ApiVersionsResponse> = rpcApi(
  ApiKey.ApiVersions,
  ApiVersions.encodeApiVersionsRequest,
  ApiVersions.decodeApiVersionsResponse
)
export const createTopicsApi: RpcApi<CreateTopics.CreateTopicsRequestInput, CreateTopics.CreateTopicsResponse> = rpcApi(
  ApiKey.CreateTopics,
  CreateTopics.encodeCreateTopicsRequest,
  CreateTopics.decodeCreateTopicsResponse
)
export const deleteTopicsApi: RpcApi<DeleteTopics.DeleteTopicsRequestInput, DeleteTopics.DeleteTopicsResponse> = rpcApi(
  ApiKey.DeleteTopics,
  DeleteTopics.encodeDeleteTopicsRequest,
  DeleteTopics.decodeDeleteTopicsResponse
)
export const deleteRecordsApi: RpcApi<DeleteRecords.DeleteRecordsRequestInput, DeleteRecords.DeleteRecordsResponse> = rpcApi(
  ApiKey.DeleteRecords,
  DeleteRecords.encodeDeleteRecordsRequest,
  DeleteRecords.decodeDeleteRecordsResponse
)
export const initProducerIdApi: RpcApi<InitProducerId.InitProducerIdRequestInput, InitProducerId.InitProducerIdResponse> = rpcApi(
  ApiKey.InitProducerId,
  InitProducerId.encodeInitProducerIdRequest,
  InitProducerId.decodeInitProducerIdResponse
)
export const offsetForLeaderEpochApi: RpcApi<OffsetForLeaderEpoch.OffsetForLeaderEpochRequestInput, OffsetForLeaderEpoch.OffsetForLeaderEpochResponse> = rpcApi(
  ApiKey.OffsetForLeaderEpoch,
  OffsetForLeaderEpoch.encodeOffsetForLeaderEpochRequest,
  OffsetForLeaderEpoch.decodeOffsetForLeaderEpochResponse
)
export const describeLogDirsApi: RpcApi<DescribeLogDirs.DescribeLogDirsRequestInput, DescribeLogDirs.DescribeLogDirsResponse> = rpcApi(
  ApiKey.DescribeLogDirs,
  DescribeLogDirs.encodeDescribeLogDirsRequest,
  DescribeLogDirs.decodeDescribeLogDirsResponse
)
export const describeProducersApi: RpcApi<DescribeProducers.DescribeProducersRequestInput, DescribeProducers.DescribeProducersResponse> = rpcApi(
  ApiKey.DescribeProducers,
  DescribeProducers.encodeDescribeProducersRequest,
  DescribeProducers.decodeDescribeProducersResponse
)
export const incrementalAlterConfigsApi: RpcApi<IncrementalAlterConfigs.IncrementalAlterConfigsRequestInput, IncrementalAlterConfigs.IncrementalAlterConfigsResponse> = rpcApi(
  ApiKey.IncrementalAlterConfigs,
  IncrementalAlterConfigs.encodeIncrementalAlterConfigsRequest,
  IncrementalAlterConfigs.decodeIncrementalAlterConfigsResponse
)
export const describeClusterApi: RpcApi<DescribeCluster.DescribeClusterRequestInput, DescribeCluster.DescribeClusterResponse> = rpcApi(
  ApiKey.DescribeCluster,
  DescribeCluster.encodeDescribeClusterRequest,
  DescribeCluster.decodeDescribeClusterResponse
)
