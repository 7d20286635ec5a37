import { describe, expect, it } from "vitest"
import { toBytes } from "../../core/model/Payload.ts"
import { apis } from "../../core/protocol/Apis.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import {
  decodeRequestHeader,
  decodeResponseHeaderOf,
  requestFrame,
  requestHeaderVersion,
  responseFrame
} from "../../core/protocol/Headers.ts"
import { CLIENTS, frameVectors } from "./Fixtures.ts"
import { fromHex, fromVector, loadCodecs, toHex, withDefaults } from "./Schemas.ts"

const codecs = await loadCodecs()

/** Requests, and responses among them, per client: a fixture that lost its vectors must not pass. */
const COUNTS: Readonly<Record<(typeof CLIENTS)[number], readonly [number, number]>> = {
  java: [31, 25],
  "kafka-python": [19, 19],
  kafkajs: [21, 19],
  "librdkafka-2.0.2": [27, 26],
  "librdkafka-2.15.0": [32, 29],
  platformatic: [15, 10]
}

for (const client of CLIENTS) {
  describe(`frames of ${client}`, () => {
    const vectors = frameVectors(client)

    it("are all there", () => {
      const responses = vectors.filter((vector) => vector.mockResponse !== undefined)
      expect([vectors.length, responses.length]).toEqual(COUNTS[client])
    })

    for (const vector of vectors) {
      const api = apis.get(vector.key)!
      const title = `${vector.api} v${vector.version} #${vector.correlationId}`
      it(`${title} decodes and encodes to the same bytes`, () => {
        const reader = new ByteReader(fromHex(vector.frame))
        expect(reader.int32()).toBe(reader.remaining)
        const header = decodeRequestHeader(reader)
        expect(header).toEqual({
          apiKey: vector.key,
          apiVersion: vector.version,
          correlationId: vector.correlationId,
          clientId: vector.clientId
        })
        expect(requestHeaderVersion(vector.key, vector.version)).toBe(vector.headerVersion)
        const body = api.decodeRequest(reader, vector.version)
        expect(reader.remaining).toBe(0)
        const schema = codecs.get(`${vector.api}Request`)!.message.root
        expect(body).toEqual(withDefaults(schema, fromVector(schema, vector.value)))
        const frame = requestFrame(header, (writer) => api.encodeRequest(writer, vector.version, body))
        expect(toHex(toBytes(frame))).toBe(vector.frame)
      })

      const response = vector.mockResponse
      if (response === undefined) continue
      it(`${title}: the response decodes and encodes to the same bytes`, () => {
        const reader = new ByteReader(fromHex(response.frame))
        expect(reader.int32()).toBe(reader.remaining)
        const correlationId = decodeResponseHeaderOf(reader, vector.key, vector.version)
        expect(correlationId).toBe(vector.correlationId)
        const body = api.decodeResponse(reader, vector.version)
        expect(reader.remaining).toBe(0)
        const schema = codecs.get(`${vector.api}Response`)!.message.root
        expect(body).toEqual(withDefaults(schema, fromVector(schema, response.value)))
        const frame = responseFrame(vector.key, vector.version, correlationId, (writer) =>
          api.encodeResponse(writer, vector.version, body)
        )
        expect(toHex(toBytes(frame))).toBe(response.frame)
      })
    }
  })
}
