import { describe, expect, it } from "vitest"
import { toBytes } from "../../core/model/Payload.ts"
import { apiFacts } from "../../core/protocol/ApiFacts.ts"
import { ApiKey } from "../../core/protocol/ApiKey.ts"
import { apis } from "../../core/protocol/Apis.ts"
import { ByteReader } from "../../core/protocol/ByteReader.ts"
import { ErrorCode, errorName, isRetriable, isStaleMetadata } from "../../core/protocol/ErrorCode.ts"
import {
  decodeRequestHeader,
  requestFrame,
  requestHeaderVersion,
  responseFrame,
  responseHeaderVersion
} from "../../core/protocol/Headers.ts"
import { ProtocolError } from "../../core/protocol/ProtocolError.ts"
import { readJson } from "./Fixtures.ts"
import { fromHex, toHex } from "./Schemas.ts"

interface HeaderVector {
  readonly key: number
  readonly name: string
  readonly clusterAction: boolean
  readonly forwardable: boolean
  readonly oldest: number
  readonly latest: number
  readonly latestStable: number
  readonly requestHeader: ReadonlyArray<number>
  readonly responseHeader: ReadonlyArray<number>
  readonly advertisedMin: number
}

describe("the table of APIs", () => {
  const { vectors } = readJson("header-versions.json") as { readonly vectors: ReadonlyArray<HeaderVector> }

  it("says what Kafka says of each, header versions included", () => {
    expect(vectors.length).toBe(89)
    expect(new Set(vectors.map((vector) => vector.key))).toEqual(new Set(apiFacts.keys()))
    expect(new Set(apis.keys())).toEqual(new Set(apiFacts.keys()))
    for (const vector of vectors) {
      const facts = apiFacts.get(vector.key)!
      expect(facts).toMatchObject({
        name: vector.name,
        minVersion: vector.oldest,
        maxVersion: vector.latestStable,
        latestVersion: vector.latest,
        advertisedMin: vector.advertisedMin,
        clusterAction: vector.clusterAction,
        forwardable: vector.forwardable
      })
      expect(ApiKey[vector.name as keyof typeof ApiKey]).toBe(vector.key)
      for (let version = vector.oldest; version <= vector.latest; version++) {
        const index = version - vector.oldest
        const where = `${vector.name} v${version}`
        expect(requestHeaderVersion(vector.key, version), where).toBe(vector.requestHeader[index])
        expect(responseHeaderVersion(vector.key, version), where).toBe(vector.responseHeader[index])
      }
    }
  })
})

describe("a request header", () => {
  it("of an unknown version is read up to the correlation id and client id", () => {
    const header = { apiKey: ApiKey.ApiVersions, apiVersion: 99, correlationId: 7, clientId: "new" }
    const reader = new ByteReader(toBytes(requestFrame(header, () => {})), 4)
    expect(decodeRequestHeader(reader)).toEqual(header)
  })

  it("of an unknown API is read as the older form", () => {
    expect(decodeRequestHeader(new ByteReader(fromHex("7fff000000000007ffff")))).toEqual({
      apiKey: 32767,
      apiVersion: 0,
      correlationId: 7,
      clientId: null
    })
  })

  it("that is cut anywhere is malformed", () => {
    const header = { apiKey: ApiKey.Metadata, apiVersion: 12, correlationId: 7, clientId: "client" }
    const bytes = toBytes(requestFrame(header, () => {}))
    for (let end = 4; end < bytes.length; end++) {
      expect(() => decodeRequestHeader(new ByteReader(bytes, 4, end)), `${end} bytes`).toThrow(ProtocolError)
    }
  })
})

describe("a response frame", () => {
  it("of ApiVersions has no tagged fields in its header, whatever the version", () => {
    for (const version of [0, 3, 4]) {
      const frame = toBytes(responseFrame(ApiKey.ApiVersions, version, 5, () => {}))
      expect(toHex(frame)).toBe("0000000400000005")
    }
    expect(toHex(toBytes(responseFrame(ApiKey.Metadata, 12, 5, () => {})))).toBe("000000050000000500")
  })
})

describe("error codes", () => {
  it("are Kafka's 135, by name and number", () => {
    expect(Object.keys(ErrorCode).length).toBe(135)
    expect(ErrorCode.NONE).toBe(0)
    expect(ErrorCode.UNKNOWN_SERVER_ERROR).toBe(-1)
    expect(errorName(6)).toBe("NOT_LEADER_OR_FOLLOWER")
    expect(errorName(9999)).toBe("UNKNOWN(9999)")
    expect([ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.INVALID_RECORD].map(isRetriable)).toEqual([true, false])
    expect([ErrorCode.NOT_LEADER_OR_FOLLOWER, ErrorCode.NONE].map(isStaleMetadata)).toEqual([true, false])
  })
})
