// Passkeys: a page's forms that have one are shown where the browser knows them, ask the authenticator when their button is
// pressed, and send its answer as any form is sent. Without this file the pages go on with passwords and codes.
'use strict'

const bytes = (text) =>
  Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
const text = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '')
const named = (id) => ({ type: 'public-key', id: bytes(id) })

const ceremonies = {
  async create({ challenge, rp, user, known }) {
    const { response } = await navigator.credentials.create({
      publicKey: {
        challenge: bytes(challenge),
        rp,
        user: { ...user, id: bytes(user.id) },
        pubKeyCredParams: [{ type: 'public-key', alg: -8 }, { type: 'public-key', alg: -7 }],
        excludeCredentials: known.map(named),
        authenticatorSelection: { residentKey: 'required', requireResidentKey: true, userVerification: 'required' },
        attestation: 'none',
      },
    })
    return {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
    }
  },

  async get({ challenge, rpId, known }) {
    const { rawId, response } = await navigator.credentials.get({
      publicKey: {
        challenge: bytes(challenge),
        rpId,
        allowCredentials: known.map(named),
        userVerification: 'required',
      },
    })
    return {
      id: text(rawId),
      clientDataJSON: text(response.clientDataJSON),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: response.userHandle ? text(response.userHandle) : '',
    }
  },
}

for (const form of window.PublicKeyCredential ? document.querySelectorAll('form[data-passkey]') : []) {
  form.hidden = false
  const answer = form.elements.namedItem('credential')
  // Who comes back to the page is asked anew: an answer is good once.
  addEventListener('pageshow', () => { answer.value = '' })
  form.addEventListener('submit', async (event) => {
    if (answer.value) return
    event.preventDefault()
    const complaint = form.querySelector('[data-complaint]')
    complaint.hidden = true
    try {
      const credential = await ceremonies[form.dataset.passkey](JSON.parse(form.dataset.options))
      answer.value = JSON.stringify(credential)
      form.requestSubmit(event.submitter)
    } catch {
      // Whoever closes the browser's own window is told so by it already, and may try again.
      complaint.hidden = false
    }
  })
}
