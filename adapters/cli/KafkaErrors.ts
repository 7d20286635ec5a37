/**
 * What Kafka's tools print of an error: the broker's own sentence where it sent one, else the one that Kafka has for
 * the code, and the name of Java's exception where a tool prints that too.
 */
import { type ClientError, FatalError, RetriableError } from "../../core/client/ClientError.ts"

/** By error name: Java's exception without its package, Kafka's sentence. The ones that topics and groups meet. */
const known: Readonly<Record<string, readonly [exception: string, message: string]>> = {
  UNKNOWN_TOPIC_OR_PARTITION: ["UnknownTopicOrPartitionException", "This server does not host this topic-partition."],
  LEADER_NOT_AVAILABLE: ["LeaderNotAvailableException", "There is no leader for this topic-partition as we are in the middle of a leadership election."],
  REQUEST_TIMED_OUT: ["TimeoutException", "The request timed out."],
  COORDINATOR_LOAD_IN_PROGRESS: ["CoordinatorLoadInProgressException", "The coordinator is loading and hence can't process requests."],
  COORDINATOR_NOT_AVAILABLE: ["CoordinatorNotAvailableException", "The coordinator is not available."],
  NOT_COORDINATOR: ["NotCoordinatorException", "This is not the correct coordinator."],
  INVALID_TOPIC_EXCEPTION: ["InvalidTopicException", "The request attempted to perform an operation on an invalid topic."],
  INVALID_GROUP_ID: ["InvalidGroupIdException", "The group id is invalid."],
  GROUP_ID_NOT_FOUND: ["GroupIdNotFoundException", "The group id does not exist."],
  NON_EMPTY_GROUP: ["GroupNotEmptyException", "The group is not empty."],
  GROUP_SUBSCRIBED_TO_TOPIC: [
    "GroupSubscribedToTopicException",
    "Deleting offsets of a topic is forbidden while the consumer group is actively subscribed to it."
  ],
  UNKNOWN_MEMBER_ID: ["UnknownMemberIdException", "The coordinator is not aware of this member."],
  GROUP_AUTHORIZATION_FAILED: ["GroupAuthorizationException", "Not authorized to access group: Group authorization failed."],
  TOPIC_AUTHORIZATION_FAILED: ["TopicAuthorizationException", "Topic authorization failed."],
  TOPIC_ALREADY_EXISTS: ["TopicExistsException", "Topic with this name already exists."],
  INVALID_PARTITIONS: ["InvalidPartitionsException", "Number of partitions is below 1."],
  INVALID_REPLICATION_FACTOR: [
    "InvalidReplicationFactorException",
    "Replication factor is below 1 or larger than the number of available brokers."
  ],
  INVALID_CONFIG: ["InvalidConfigurationException", "Configuration is invalid."],
  INVALID_REPLICA_ASSIGNMENT: ["InvalidReplicaAssignmentException", "Replica assignment is invalid."],
  PREFERRED_LEADER_NOT_AVAILABLE: ["PreferredLeaderNotAvailableException", "The preferred leader was not available."],
  ELIGIBLE_LEADERS_NOT_AVAILABLE: ["EligibleLeadersNotAvailableException", "Eligible topic partition leaders are not available."],
  ELECTION_NOT_NEEDED: ["ElectionNotNeededException", "Leader election not needed for topic partition."],
  NO_REASSIGNMENT_IN_PROGRESS: ["NoReassignmentInProgressException", "No partition reassignment is in progress."],
  BROKER_ID_NOT_REGISTERED: ["BrokerIdNotRegisteredException", "The given broker ID was not registered."],
  TOPIC_DELETION_DISABLED: ["TopicDeletionDisabledException", "Topic deletion is disabled."],
  OFFSET_METADATA_TOO_LARGE: ["OffsetMetadataTooLarge", "The metadata field of the offset request was too large."]
}

export const isError = (value: unknown): value is ClientError => value instanceof RetriableError || value instanceof FatalError

export const kafkaMessage = (error: ClientError): string =>
  error.detail ?? (error.code === undefined ? undefined : known[error.reason]?.[1]) ?? error.message

/** As Java prints an exception: `org.apache.kafka.common.errors.GroupNotEmptyException: The group is not empty.` */
export const kafkaException = (error: ClientError): string => {
  const exception = error.code === undefined ? undefined : known[error.reason]?.[0]
  return exception === undefined ? kafkaMessage(error) : `org.apache.kafka.common.errors.${exception}: ${kafkaMessage(error)}`
}
