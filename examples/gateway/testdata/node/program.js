// A program with the official Node SDK. Each argument is a step, which prints a line or more:
//
//	me        who it is
//	as:ID     becomes another user, with login_user
//	look:ID   runs a Look, and prints what comes of it when it comes
//	logout    logs out, from the other user first
//	forget    forgets its tokens, so that it logs in again
//	wait      waits for a line
const readline = require('readline')
const { Looker40SDKStream } = require('@looker/sdk')
const { LookerNodeSDK } = require('@looker/sdk-node')

console.debug = console.info = console.log = () => {} // which the SDK prints to

const sdk = LookerNodeSDK.init40()
const stream = new Looker40SDKStream(sdk.authSession)
const lines = readline.createInterface({ input: process.stdin })
const input = lines[Symbol.asyncIterator]()

const steps = {
  me: async () => (await sdk.ok(sdk.me('id'))).id,
  as: async (id) => `as ${(await sdk.authSession.login(id)).token_type}`,
  look: async (id) => {
    await stream.run_look(
      async (response) => {
        const decoder = new TextDecoder()
        for await (const chunk of response.body) print(decoder.decode(chunk).trim())
      },
      { look_id: id, result_format: 'csv' }
    )
    return 'looked'
  },
  logout: async () => `logout ${await sdk.authSession.logout()}`,
  forget: async () => sdk.authSession.reset() ?? 'forgotten',
  wait: async () => (await input.next()).value,
}

function print(line) {
  process.stdout.write(line + '\n')
}

async function main() {
  for (const step of process.argv.slice(2)) {
    const [name, arg] = step.split(':')
    print(await steps[name](arg).catch((error) => `failed: ${error.message}`))
  }
  lines.close()
}

main()
