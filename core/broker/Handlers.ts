/** Every API that this broker serves. What is not in this list is not advertised. */
import type { BrokerServices } from "./BrokerServices.ts"
import type { Handler } from "./Handler.ts"
import { makeApiVersions } from "./handlers/ApiVersions.ts"
import { makeDeleteRecords } from "./handlers/DeleteRecords.ts"
import { makeDescribeLogDirs } from "./handlers/DescribeLogDirs.ts"
import { makeDescribeProducers } from "./handlers/DescribeProducers.ts"
import { makeFetch } from "./handlers/Fetch.ts"
import { makeInitProducerId } from "./handlers/InitProducerId.ts"
import { makeListOffsets } from "./handlers/ListOffsets.ts"
import { makeOffsetForLeaderEpoch } from "./handlers/OffsetForLeaderEpoch.ts"
import { makeProduce } from "./handlers/Produce.ts"

export const makeHandlers = (broker: BrokerServices): ReadonlyArray<Handler> => [
  makeProduce(broker),
  makeFetch(broker),
  makeListOffsets(broker),
  makeApiVersions(broker),
  makeDeleteRecords(broker),
  makeInitProducerId(broker),
  makeOffsetForLeaderEpoch(broker),
  makeDescribeLogDirs(broker),
  makeDescribeProducers(broker)
]
