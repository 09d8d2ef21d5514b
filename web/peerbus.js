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
// so that it is taken once. What comes again because the socket broke before it was
// known to be dealt with is not handled again.
//
// Nothing waits for ever: a call that has no outcome when its timeout is over, gateway
// or not, is rejected with 408, and may still have arrived.

const firstWait = 100 // ms
const longestWait = 5000 // ms
const answerTime = 1000 // ms that a gateway has to tell an outcome after the time-out
const maxCalls = 1024 // that may be without an outcome
const maxUnderWay = 32 // posts; with 64 a gateway reads nothing more, the acks of what comes among it

/** PeerbusError is a refusal: its code has HTTP's meaning; field says what is wrong. */
export class PeerbusError extends Error {
  constructor({ code, description, field }) {
    super(description)
    this.name = "PeerbusError"
    this.code = code
    this.field = field
  }
}

/** milliseconds of a duration as the gateway writes it, or of a number of them. */
function milliseconds(timeout) {
  if (typeof timeout === "number" && timeout > 0) return timeout
  const [, n, unit] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(timeout) ?? []
  if (!Number(n)) throw new PeerbusError({ code: 400, description: `timeout ${timeout}: want milliseconds, or a duration as in 500ms, 5s or 2m`, field: "timeout" })
  return Number(n) * { ms: 1, s: 1000, m: 60000 }[unit]
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
  #current = null // the newest socket, open or not
  #again = 0 // timer of the next one
  #wait = firstWait
  #closed = false
  #lastRef = 0
  #listeners = new Map() // address → { handler, last, socket, done }: the last message, where it came, its handling
  #relistens = new Map() // ref → address that is listened to again
  #calls = new Map() // ref → { frame, text, timer, resolve, reject }, in the order of their first posting
  #underWay = new Set() // refs of posts that the socket has been given
  #order = Promise.resolve() // of what waits to be accepted: none passes another
  /** The URL of the runtime, once connected. */
  runtimeURL = ""
  /** Called with true when the socket is open, with false when it broke. */
  onchange = null
  /** Called with an address and a PeerbusError when it cannot be listened to any more. */
  onlost = null

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
    const listener = { handler, last: "", socket: null, done: null }
    this.#listeners.set(address, listener)
    return this.#call({ op: "listen", address, ack: true }).catch((error) => {
      if (this.#listeners.get(address) === listener) this.#listeners.delete(address)
      throw error
    })
  }

  /** unlisten ends that. */
  unlisten(address) {
    if (!this.#listeners.delete(address)) {
      return Promise.reject(new PeerbusError({ code: 404, description: `${address} is not listened to`, field: "address" }))
    }
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
    clearTimeout(this.#again)
    this.#current?.close(1000)
    for (const ref of this.#calls.keys()) this.#reject(ref, { code: 503, description: "the connection was closed" })
  }

  #call(frame) {
    if (this.#closed) return Promise.reject(new PeerbusError({ code: 503, description: "the connection is closed" }))
    if (this.#calls.size >= maxCalls) {
      return Promise.reject(new PeerbusError({ code: 429, description: `${maxCalls} calls wait already` }))
    }
    const ref = ++this.#lastRef
    return new Promise((resolve, reject) => {
      const time = milliseconds(frame.timeout ?? "15s") // what it throws rejects
      if (frame.timeout) frame.timeout = `${Math.ceil(time)}ms`
      const text = JSON.stringify({ ...frame, ref }) // likewise; and it is the same when it is sent again
      const timer = setTimeout(() => this.#reject(ref, { code: 408, description: "there is no outcome, time ran out" }), time + answerTime)
      this.#calls.set(ref, { frame, text, timer, resolve, reject })
      if (frame.op === "post") this.#sendPosts()
      else this.#socket?.send(text)
    })
  }

  // What is more than may be under way waits here.
  #sendPosts() {
    if (!this.#socket || this.#closed) return
    for (const [ref, { frame, text }] of this.#calls) {
      if (this.#underWay.size >= maxUnderWay) return
      if (frame.op !== "post" || this.#underWay.has(ref)) continue
      this.#underWay.add(ref)
      this.#socket.send(text)
    }
  }

  #send(frame) {
    this.#socket?.send(JSON.stringify(frame))
  }

  #open() {
    const socket = new WebSocket(this.#url)
    this.#current = socket
    socket.onmessage = ({ data }) => this.#take(socket, JSON.parse(data))
    socket.onclose = () => this.#broke(socket)
  }

  // The first frame says that the gateway has a bus.
  #take(socket, frame) {
    if (this.#closed) return
    switch (frame.op) {
      case "welcome":
        this.#opened(socket, frame)
        break
      case "outcome":
        this.#settle(socket, frame)
        break
      case "message":
        this.#deliver(socket, frame)
        break
      case "error":
        console.warn("peerbus:", frame.description)
    }
  }

  // Listeners first, so that answers find their way; then what had no outcome. A new
  // socket listens to nothing, so what was to be unlistened is.
  #opened(socket, { runtime_url: runtimeURL }) {
    this.#socket = socket
    this.#wait = firstWait
    this.runtimeURL = runtimeURL
    this.#relistens.clear()
    for (const [ref, { frame }] of this.#calls) {
      if (frame.op === "unlisten" || (frame.op === "listen" && !this.#listeners.has(frame.address))) this.#resolve(ref, { code: 200 })
    }
    const asked = [...this.#calls.values()].filter(({ frame }) => frame.op === "listen").map(({ frame }) => frame.address)
    for (const address of this.#listeners.keys()) {
      if (!asked.includes(address)) this.#listenAgain(address)
    }
    for (const { frame, text } of this.#calls.values()) {
      if (frame.op !== "post") socket.send(text)
    }
    this.#underWay.clear()
    this.#sendPosts()
    this.onchange?.(true)
  }

  // The refs of listening again are texts: those of calls are numbers.
  #listenAgain(address) {
    const ref = `again-${++this.#lastRef}`
    this.#relistens.set(ref, address)
    this.#send({ op: "listen", address, ack: true, ref })
  }

  #listenedAgain(socket, ref, outcome) {
    const address = this.#relistens.get(ref)
    this.#relistens.delete(ref)
    if (outcome.code < 400 || !this.#listeners.has(address)) return
    if ([408, 429, 500, 503].includes(outcome.code)) {
      setTimeout(() => socket === this.#socket && this.#listeners.has(address) && this.#listenAgain(address), longestWait)
      return
    }
    this.#listeners.delete(address)
    console.error("peerbus:", address, outcome.description)
    this.onlost?.(address, new PeerbusError(outcome))
  }

  #broke(socket) {
    if (socket === this.#socket) {
      this.#socket = null
      this.onchange?.(false)
    }
    if (this.#closed || socket !== this.#current) return
    this.#again = setTimeout(() => this.#open(), this.#wait * (0.5 + Math.random() / 2))
    this.#wait = Math.min(2 * this.#wait, longestWait)
  }

  #settle(socket, { ref, ...outcome }) {
    if (typeof ref === "string") this.#listenedAgain(socket, ref, outcome)
    else if (outcome.code >= 400) this.#reject(ref, outcome)
    else this.#resolve(ref, outcome)
  }

  #resolve(ref, outcome) {
    this.#end(ref)?.resolve(outcome)
  }

  #reject(ref, error) {
    this.#end(ref)?.reject(new PeerbusError(error))
  }

  #end(ref) {
    const call = this.#calls.get(ref)
    this.#calls.delete(ref)
    clearTimeout(call?.timer)
    if (this.#underWay.delete(ref)) this.#sendPosts()
    return call
  }

  // What comes first on a new socket and is the same as the last one, id and all, has come
  // again: its handling is waited for, which began on the one before.
  async #deliver(socket, { address, delivery, message }) {
    const listener = this.#listeners.get(address)
    if (!listener) return // it was unlistened: who listens next gets it
    const text = JSON.stringify(message)
    if (listener.socket === socket || listener.last !== text) {
      listener.last = text
      listener.done = this.#handle(listener, address, message)
    }
    listener.socket = socket
    await listener.done
    if (socket === this.#socket) this.#send({ op: "ack", delivery })
  }

  async #handle(listener, address, message) {
    try {
      await listener.handler(message)
    } catch (error) {
      console.error("peerbus: handler of", address, error)
    }
  }
}
