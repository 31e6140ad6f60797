// A mail server that keeps what it gets, as much of one as a server needs to hand mail over.

import { createServer } from 'node:net'

export class Mailbox {
  #mails = []
  #server

  async listen(port) {
    this.port = port
    this.#server = createServer((socket) => this.#talk(socket))
    await new Promise((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    return this
  }

  close() {
    this.#server.close()
  }

  #talk(socket) {
    let rest = ''
    let mail
    const say = (line) => socket.write(`${line}\r\n`)
    socket.on('error', () => {})
    socket.setEncoding('latin1')
    socket.on('data', (part) => {
      rest += part
      for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
        const line = rest.slice(0, end)
        rest = rest.slice(end + 2)
        if (mail !== undefined) {
          if (line !== '.') mail += `${line}\n`
          else {
            this.#mails.push(mail)
            mail = undefined
            say('250 kept')
          }
        } else if (/^data/i.test(line)) {
          mail = ''
          say('354 go on')
        } else if (/^quit/i.test(line)) {
          say('221 bye')
          socket.end()
        } else say('250 ok')
      }
    })
    say('220 mailbox')
  }

  /** The code in the newest mail to this address that is not read yet. */
  async code(address) {
    for (let tries = 0; tries < 300; tries++) {
      const found = this.#mails.findIndex((mail) => mail.includes(`To: ${address}`) || mail.includes(`To: <${address}>`))
      if (found >= 0) {
        const [mail] = this.#mails.splice(found, 1)
        const text = mail.replaceAll('=\n', '')
        const code = text.match(/\b[A-Za-z2-7]{5}-[A-Za-z2-7]{5}\b/)
        if (code) return code[0]
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    throw new Error(`no code came to ${address}`)
  }
}
