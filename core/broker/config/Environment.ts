/**
 * Configuration from the environment, by the convention of Apache Kafka's container image: `KAFKA_`, then the key in
 * capitals with `_` for `.`, `__` for `_` and `___` for `-`. KAFKA_LOG_RETENTION_MS is log.retention.ms.
 */

const PREFIX = "KAFKA_"

/** The configuration key that a variable sets; undefined when it sets none. */
export const environmentKey = (variable: string): string | undefined =>
  variable.startsWith(PREFIX) && variable.length > PREFIX.length
    ? variable
        .slice(PREFIX.length)
        .toLowerCase()
        .replace(/_{1,3}/g, (run) => (run.length === 3 ? "-" : run.length === 2 ? "_" : "."))
    : undefined

/** Variables of Kafka's scripts and image that are no configuration keys: not worth a warning. */
export const ignoredEnvironment: ReadonlySet<string> = new Set([
  "KAFKA_DEBUG",
  "KAFKA_GC_LOG_OPTS",
  "KAFKA_HEAP",
  "KAFKA_HEAP_OPTS",
  "KAFKA_HOME",
  "KAFKA_JMX_HOSTNAME",
  "KAFKA_JMX_OPTS",
  "KAFKA_JMX_PORT",
  "KAFKA_JVM_PERFORMANCE_OPTS",
  "KAFKA_LOG4J_LOGGERS",
  "KAFKA_LOG4J_OPTS",
  "KAFKA_LOG4J_ROOT_LOGLEVEL",
  "KAFKA_MODE",
  "KAFKA_OPTS",
  "KAFKA_TOOLS_LOG4J_LOGLEVEL",
  "KAFKA_VERSION"
])
