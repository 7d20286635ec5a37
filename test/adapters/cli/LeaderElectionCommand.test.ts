/** The expected lines and messages are what Kafka 4.3.1's kafka-leader-election printed for the same. */
import { describe, expect, it } from "vitest"
import { electionOutcome, flags, parseLeaderElection, parsePartitions } from "../../../adapters/cli/LeaderElectionCommand.ts"
import { parseFlags } from "../../../adapters/cli/Options.ts"
import { errorOfCode } from "../../../core/client/ClientError.ts"
import { ErrorCode } from "../../../core/protocol/ErrorCode.ts"
import { usageErrorOf } from "./Screen.ts"

const request = (line: string) => parseLeaderElection(parseFlags(flags, line.split(" ")))
const server = "--bootstrap-server b:1"

describe("the command line", () => {
  it("takes a type and a scope", () => {
    expect(request(`${server} --election-type preferred --all-topic-partitions`)).toMatchObject({ type: "preferred", partitions: undefined, file: undefined })
    expect(request(`${server} --election-type UNCLEAN --topic t --partition 3`)).toMatchObject({ type: "unclean", partitions: [{ topic: "t", partition: 3 }] })
    expect(request(`${server} --election-type preferred --path-to-json-file f`)).toMatchObject({ file: "f" })
    for (const flag of ["--command-config", "--admin.config"]) {
      expect(request(`${server} --election-type preferred --all-topic-partitions ${flag} c`)).toMatchObject({ commandConfig: "c" })
    }
    expect(usageErrorOf(() => request("--all-topic-partitions"))).toBe("Missing required option(s): bootstrap-server, election-type")
    expect(usageErrorOf(() => request(`${server} --election-type some --all-topic-partitions`))).toBe("Cannot parse argument 'some' of option election-type: it takes preferred or unclean")
    const one = "One and only one of the following options is required: topic, all-topic-partitions, path-to-json-file"
    expect(usageErrorOf(() => request(`${server} --election-type preferred`))).toBe(one)
    expect(usageErrorOf(() => request(`${server} --election-type preferred --topic t --partition 0 --all-topic-partitions`))).toBe(one)
    expect(usageErrorOf(() => request(`${server} --election-type preferred --topic t`))).toBe("Missing required option(s): partition")
    expect(usageErrorOf(() => request(`${server} --election-type preferred --all-topic-partitions --partition 1`)))
      .toBe("Option partition is only allowed if topic is used")
  })

  it("reads partitions from a file", () => {
    expect(parsePartitions('{"partitions":[{"topic":"a","partition":1},{"topic":"a","partition":2}]}')).toEqual([
      { topic: "a", partition: 1 },
      { topic: "a", partition: 2 }
    ])
    expect(usageErrorOf(() => parsePartitions("{}"))).toBe("Replica election data is missing \"partitions\" field")
    expect(usageErrorOf(() => parsePartitions("no"))).toBe("Replica election data is empty")
    expect(usageErrorOf(() => parsePartitions('{"partitions":[{"topic":"a","partition":1},{"topic":"a","partition":1}]}')))
      .toBe("Replica election data contains duplicate partitions: [a-1]")
  })
})

describe("the outcome", () => {
  it("tells who was elected, who need not be, and who could not be", () => {
    const error = (code: number) => errorOfCode(code, "elect")
    expect(electionOutcome("preferred", [
      { topic: "t", partition: 0, error: undefined },
      { topic: "t", partition: 1, error: error(ErrorCode.ELECTION_NOT_NEEDED) },
      { topic: "t", partition: 2, error: error(ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE) }
    ])).toEqual({
      lines: [
        "Successfully completed leader election (PREFERRED) for partitions t-0",
        "Valid replica already elected for partitions t-1",
        "Error completing leader election (PREFERRED) for partition: t-2: " +
        "org.apache.kafka.common.errors.PreferredLeaderNotAvailableException: The preferred leader was not available."
      ],
      failure: "1 replica(s) could not be elected"
    })
    expect(electionOutcome("unclean", [])).toEqual({ lines: [], failure: undefined })
  })
})
