/**
 * Reads orders and writes an invoice for each. A group reads, so that several instances share the work, and an order may
 * come again after a crash: its invoice has the order's id as key, and who reads invoices takes one of each.
 */
import { type Consumer, type Kafka, Partitioners, type Producer } from "kafkajs"

export interface Order {
  readonly id: string
  readonly customer: string
  readonly cents: number
}

export interface Invoice {
  readonly order: string
  readonly customer: string
  /** With 19 % tax. */
  readonly cents: number
}

export const ORDERS = "orders"
export const INVOICES = "invoices"

export const invoiceOf = ({ cents, customer, id }: Order): Invoice => ({ order: id, customer, cents: Math.round(cents * 1.19) })

export class OrderService {
  readonly #consumer: Consumer
  readonly #producer: Producer

  constructor(kafka: Kafka) {
    this.#consumer = kafka.consumer({ groupId: "order-service" })
    this.#producer = kafka.producer({ idempotent: true, createPartitioner: Partitioners.DefaultPartitioner })
  }

  async start(): Promise<void> {
    await Promise.all([this.#producer.connect(), this.#consumer.connect()])
    await this.#consumer.subscribe({ topic: ORDERS, fromBeginning: true })
    await this.#consumer.run({
      eachMessage: async ({ message }) => {
        const order = JSON.parse(String(message.value)) as Order
        const invoice = invoiceOf(order)
        await this.#producer.send({ topic: INVOICES, messages: [{ key: invoice.order, value: JSON.stringify(invoice) }] })
      }
    })
  }

  async stop(): Promise<void> {
    await this.#consumer.disconnect()
    await this.#producer.disconnect()
  }
}
