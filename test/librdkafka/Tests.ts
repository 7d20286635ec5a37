/**
 * librdkafka's own tests that need a broker and nothing more than one, without TLS, passwords, transactions and share
 * groups. Tests that run on its mock cluster are left out: no broker answers there.
 */
export interface LibrdkafkaTest {
  /** The first part of its file's name. */
  readonly number: string
  readonly about: string
  /** Among the few that the short form runs: each takes seconds. */
  readonly short?: boolean
  /** Only these of its parts, each in a run of its own. */
  readonly parts?: ReadonlyArray<string>
  /** Longest time it may take, in seconds. Default 200. */
  readonly timeoutS?: number
  /** It fails, and why: written in docs/compatibility.md, too. */
  readonly failsBecause?: string
}

/** Parts of 0081 that need no access control: what is left of the admin client. */
const adminParts: ReadonlyArray<string> = [
  "do_test_CreateTopics", "do_test_DeleteTopics", "do_test_CreatePartitions", "do_test_AlterConfigs",
  "do_test_DeleteRecords", "do_test_ListConsumerGroups", "do_test_DescribeConsumerGroups", "do_test_DescribeTopics",
  "do_test_DescribeCluster", "do_test_DeleteGroups", "do_test_DeleteConsumerGroupOffsets", "do_test_ListOffsets",
  "do_test_AlterConsumerGroupOffsets", "do_test_ListConsumerGroupOffsets"
]

export const librdkafkaTests: ReadonlyArray<LibrdkafkaTest> = [
  { number: "0001", about: "several topic objects for one topic", short: true },
  { number: "0002", about: "a partition that is not there", short: true },
  { number: "0003", about: "records larger than allowed", short: true },
  { number: "0005", about: "order of deliveries", short: true },
  { number: "0007", about: "topics created by being asked for", short: true },
  { number: "0008", about: "acks 0, 1 and all", short: true },
  { number: "0011", about: "batches of records in one call" },
  { number: "0012", about: "produce and consume", short: true },
  { number: "0013", about: "null keys and values", short: true },
  { number: "0014", about: "consume, stop, consume again" },
  { number: "0015", about: "seek" },
  { number: "0016", about: "names of client software", short: true },
  { number: "0017", about: "compression" },
  { number: "0018", about: "members that end, and a group without a coordinator" },
  { number: "0019", about: "groups are listed", short: true },
  { number: "0020", about: "a consumer is destroyed while it works" },
  { number: "0021", about: "topic objects are destroyed while records are on their way", short: true },
  { number: "0022", about: "consume in batches", short: true },
  { number: "0026", about: "pause and resume" },
  { number: "0029", about: "assigned offsets" },
  { number: "0030", about: "offset commits: automatic, by hand, stored, to the broker and not" },
  { number: "0031", about: "offsets are asked for", short: true },
  { number: "0033", about: "subscriptions by pattern" },
  { number: "0034", about: "offset resets" },
  { number: "0035", about: "ApiVersions", short: true },
  { number: "0036", about: "partial fetches", short: true },
  { number: "0038", about: "much produced and consumed" },
  { number: "0039", about: "events", short: true },
  { number: "0040", about: "events by file descriptor" },
  { number: "0041", about: "large records and small fetches" },
  { number: "0042", about: "many topics" },
  { number: "0044", about: "a topic grows while it is produced to", short: true },
  { number: "0045", about: "subscriptions follow topics that come and go", timeoutS: 400 },
  { number: "0048", about: "partitioners", short: true },
  { number: "0049", about: "a connection that breaks while consuming" },
  { number: "0050", about: "topics are added to a subscription" },
  { number: "0051", about: "topics are added to an assignment" },
  { number: "0052", about: "timestamps" },
  { number: "0053", about: "statistics" },
  { number: "0054", about: "offsets by time", short: true },
  { number: "0056", about: "four members share a topic", short: true },
  { number: "0057", about: "illegal topic names", short: true },
  { number: "0059", about: "binary search by time" },
  { number: "0060", about: "order of operations while committing", short: true },
  { number: "0061", about: "lag as the consumer counts it", parts: ["lag without transactions"] },
  { number: "0063", about: "the cluster's id", short: true },
  { number: "0064", about: "interceptors" },
  { number: "0065", about: "events are yielded", short: true },
  { number: "0067", about: "an empty topic" },
  { number: "0068", about: "deliveries that take too long" },
  { number: "0069", about: "partitions are added under a group" },
  { number: "0070", about: "empty and null keys and values", short: true },
  { number: "0073", about: "headers", short: true },
  { number: "0075", about: "retries of requests" },
  { number: "0076", about: "retries of produce" },
  { number: "0077", about: "compaction and deletion under a consumer" },
  { number: "0081", about: "the admin client", parts: adminParts },
  {
    number: "0081",
    about: "the admin client: changes of configurations",
    parts: ["do_test_IncrementalAlterConfigs"],
    failsBecause: "it also sets a configuration of a group, which belongs to the protocol of KIP-848: INVALID_REQUEST until that is there"
  },
  { number: "0082", about: "large fetches" },
  { number: "0083", about: "events call back" },
  { number: "0084", about: "ways to be destroyed" },
  { number: "0085", about: "headers in C++", short: true },
  { number: "0086", about: "purged queues" },
  { number: "0088", about: "metadata that comes late" },
  { number: "0089", about: "a poll that comes too late" },
  { number: "0090", about: "the idempotent producer", short: true },
  { number: "0091", about: "rebalances around max.poll.interval.ms" },
  { number: "0093", about: "one partition does not hold up another" },
  { number: "0094", about: "the idempotent producer and timeouts" },
  { number: "0099", about: "metadata of commits", short: true },
  { number: "0102", about: "static members: bounces, leaving, fencing" },
  { number: "0110", about: "sizes of batches" },
  { number: "0112", about: "an assigned partition that is not there", short: true },
  { number: "0113", about: "cooperative rebalances", timeoutS: 900 },
  { number: "0114", about: "the sticky partitioner" },
  { number: "0118", about: "commits while the group rebalances" },
  { number: "0122", about: "queues are emptied after a rebalance" },
  { number: "0123", about: "idle connections" },
  { number: "0125", about: "flush" },
  { number: "0127", about: "a full fetch queue", short: true },
  { number: "0130", about: "stored offsets", short: true },
  { number: "0132", about: "order of assignment strategies" },
  {
    number: "0137",
    about: "consume in batches across pauses and seeks",
    parts: [
      "do_test_consume_batch_with_seek", "do_test_consume_batch_store_offset", "do_test_consume_batch_eof_position",
      "do_test_consume_batch_with_pause_and_resume_different_batch", "do_test_consume_batch_with_pause_and_resume_same_batch"
    ]
  },
  { number: "0140", about: "commit metadata in C++", short: true }
]
