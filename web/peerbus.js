// The browser's client of a peerbus gateway: one WebSocket, kept up.
//
//   import { connect } from "/web/peerbus.js"
//   const bus = connect()                       // to the gateway that served this page
//   await bus.listen("hyperty://example.org/tab-1", (message) => console.log(message.body))
//   await bus.post({ type: "create", to: "hyperty://example.org/bob-1", body: { value: 1 } })
//   const answer = await bus.request({ type: "read", to: "hyperty://example.org/bob-1" })
//
// When the socket breaks it is opened again with a growing wait, its addresses are
// listened to again, and what had no outcome yet is posted again with the same key,
// so that it is taken once.

const firstWait = 100 // ms
const longestWait = 5000 // ms

/** PeerbusError is a refusal: its code has HTTP's meaning; field says what is wrong. */
export class PeerbusError extends Error {
  constructor({ code, description, field }) {
    super(description)
    this.name = "PeerbusError"
    this.code = code
    this.field = field
  }
}

/** connect gives a Bus at once; what it is asked waits until the socket is open. */
export function connect(url = gatewayOf(globalThis.location)) {
  return new Bus(url)
}

function gatewayOf(location) {
  const scheme = location.protocol === "https:" ? "wss:" : "ws:"
  return `${scheme}//${location.host}/ws`
}

// newKey is for pages that are not served securely too, which have no randomUUID.
function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, "0")).join("")
}

class Bus {
  #url
  #socket = null // open, or null
  #wait = firstWait
  #closed = false
  #lastRef = 0
  #listeners = new Map() // address → handler
  #calls = new Map() // ref → { frame, resolve, reject }, in the order of their first posting
  #order = Promise.resolve() // of what waits to be accepted: none passes another
  /** The URL of the runtime, once connected. */
  runtimeURL = ""
  /** Called with true when the socket is open, with false when it broke. */
  onchange = null

  constructor(url) {
    this.#url = url
    this.#open()
  }

  /**
   * listen calls handler for each message that comes for an address, one after the
   * other: the next comes when what handler returned is settled. A message is dealt
   * with, for its sender, when handler has returned.
   */
  listen(address, handler) {
    if (this.#listeners.has(address)) {
      return Promise.reject(new PeerbusError({ code: 409, description: `${address} is listened to already`, field: "address" }))
    }
    this.#listeners.set(address, handler)
    return this.#call({ op: "listen", address, ack: true }).catch((error) => {
      this.#listeners.delete(address)
      throw error
    })
  }

  /** unlisten ends that. */
  unlisten(address) {
    this.#listeners.delete(address)
    return this.#call({ op: "unlisten", address })
  }

  /** post resolves when the message is accepted, or with wait "delivered" when it has been dealt with. */
  post(message, { wait = "accepted", timeout = "15s" } = {}) {
    const frame = { op: "post", message, wait, timeout, key: newKey() }
    if (wait !== "accepted") return this.#call(frame)
    const done = this.#order.then(() => this.#call(frame))
    this.#order = done.catch(() => {})
    return done
  }

  /** request resolves with the response, whose body.code is below 400; otherwise it rejects. */
  async request(message, { timeout = "15s" } = {}) {
    const { response } = await this.#call({ op: "post", message, wait: "response", timeout, key: newKey() })
    const code = response.body?.code ?? 200
    if (code >= 400) throw new PeerbusError({ code, description: response.body.description ?? response.body.desc ?? "" })
    return response
  }

  /** close ends it. What has no outcome yet is rejected. */
  close() {
    this.#closed = true
    this.#socket?.close(1000)
    for (const call of this.#calls.values()) call.reject(new PeerbusError({ code: 503, description: "the connection was closed" }))
    this.#calls.clear()
  }

  #call(frame) {
    if (this.#closed) return Promise.reject(new PeerbusError({ code: 503, description: "the connection is closed" }))
    const ref = ++this.#lastRef
    return new Promise((resolve, reject) => {
      this.#calls.set(ref, { frame: { ...frame, ref }, resolve, reject })
      this.#send({ ...frame, ref })
    })
  }

  #send(frame) {
    this.#socket?.send(JSON.stringify(frame))
  }

  #open() {
    const socket = new WebSocket(this.#url)
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data))
    socket.onclose = () => this.#broke(socket)
  }

  // The first frame says that the gateway has a bus.
  #take(socket, frame) {
    switch (frame.op) {
      case "welcome":
        this.#opened(socket, frame)
        break
      case "outcome":
        this.#settle(frame)
        break
      case "message":
        this.#deliver(socket, frame)
        break
      case "error":
        console.warn("peerbus:", frame.description)
    }
  }

  // Listeners first, so that answers find their way; then what had no outcome.
  #opened(socket, { runtime_url: runtimeURL }) {
    this.#socket = socket
    this.#wait = firstWait
    this.runtimeURL = runtimeURL
    const listens = [...this.#calls.values()].filter(({ frame }) => frame.op === "listen").map(({ frame }) => frame.address)
    for (const address of this.#listeners.keys()) {
      if (!listens.includes(address)) this.#send({ op: "listen", address, ack: true, ref: 0 })
    }
    for (const { frame } of this.#calls.values()) this.#send(frame)
    this.onchange?.(true)
  }

  #broke(socket) {
    if (socket === this.#socket) {
      this.#socket = null
      this.onchange?.(false)
    }
    if (this.#closed) return
    setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random() / 2))
    this.#wait = Math.min(2 * this.#wait, longestWait)
  }

  #settle({ ref, ...outcome }) {
    const call = this.#calls.get(ref)
    if (!call) {
      if (outcome.code >= 400) console.warn("peerbus:", outcome.description)
      return
    }
    this.#calls.delete(ref)
    if (outcome.code >= 400) call.reject(new PeerbusError(outcome))
    else call.resolve(outcome)
  }

  async #deliver(socket, { address, delivery, message }) {
    try {
      await this.#listeners.get(address)?.(message)
    } catch (error) {
      console.error("peerbus: handler of", address, error)
    }
    if (socket === this.#socket) this.#send({ op: "ack", delivery })
  }
}
