/** Our own client, which keeps to itself what it would log: brokers that do not answer are what the run is about. */
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import { layer } from "../../../adapters/node/index.ts"
import type { Connect } from "../../../core/client/facade/Client.ts"
import { connectWith } from "../../../core/client/facade/Connect.ts"

export const connect: Connect = connectWith(Layer.merge(layer, Logger.layer([])))
