/** Why a batch is not appended, as Produce answers it (KIP-467). */
export interface ProduceRefusal {
  readonly _tag: "Refusal"
  /** One of ErrorCode. */
  readonly error: number
  /** As Kafka sends it: "" where it sends none. */
  readonly message: string
  /** By index of the record in its batch. */
  readonly recordErrors: ReadonlyArray<RecordRefusal>
  /** For our own log line, where Kafka sends no message. */
  readonly detail?: string
}

export interface RecordRefusal {
  readonly index: number
  readonly message: string
}
