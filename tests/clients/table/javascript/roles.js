// The same with MQTT.js, in Node and in a browser: roles(mqtt, say)[ROLE](ADDRESS, VERSION, ARGUMENTS...).
;(function (root) {
  root.roles = function (mqtt, say) {
    // `keep`: the session outlives the connection.
    function connect(address, version, clientId, keep, more) {
      const options = { clientId, protocolVersion: Number(version), clean: !keep, reconnectPeriod: 200, ...more }
      if (version === '5') options.properties = { sessionExpiryInterval: keep ? 3600 : 0 }
      const client = mqtt.connect(address, options)
      client.on('error', (error) => console.error(error.message))
      return client
    }

    // A PUBREL that is sent again after its PUBCOMP was lost with the connection is answered with Packet Identifier not found,
    // which MQTT 5 calls no error during recovery (section 3.7.2.1). MQTT.js hands it over as one.
    function known(error) {
      if (error.code !== 0x92) throw error
    }

    return {
      subscribe(address, version, clientId, filter, qos, keep, count) {
        const client = connect(address, version, clientId, keep === '1')
        let left = Number(count)
        client.on('connect', (connack) => {
          say(`connected ${Number(connack.sessionPresent)}`)
          client.subscribe(filter, { qos: Number(qos) }, (error, granted) => {
            if (error) console.error(error.message)
            else if (granted.length > 0) say(`granted ${granted[0].qos}`)
          })
        })
        client.on('message', (topic, payload, packet) => {
          say(`${topic} ${payload} ${packet.qos} ${Number(packet.retain)}`)
          left -= 1
          if (left === 0) client.end()
        })
      },

      publish(address, version, clientId, topic, qos, retain, first, last) {
        const client = connect(address, version, clientId, true)
        const sent = []
        let number = Number(first)
        client.once('connect', () => {
          const timer = setInterval(() => {
            const message = client.publishAsync(topic, String(number), { qos: Number(qos), retain: retain === '1' })
            sent.push(message.catch(known))
            say(`publishing ${number}`)
            number += 1
            if (number <= Number(last)) return
            clearInterval(timer)
            Promise.all(sent).then(() => client.end(false, {}, () => say('all published')))
          }, 10)
        })
      },

      async clear(address, version, clientId, topic) {
        const client = connect(address, version, clientId, false)
        await client.publishAsync(topic, '', { qos: 1, retain: true })
        client.end(false, {}, () => say('cleared'))
      },

      will(address, version, clientId, topic, payload) {
        const client = connect(address, version, clientId, false, { will: { topic, payload, qos: 1, retain: false } })
        client.on('connect', (connack) => say(`connected ${Number(connack.sessionPresent)}`))
      },

      async properties(address, version, clientId) {
        const client = connect(address, version, clientId, false)
        client.on('message', (topic, payload, packet) => {
          const had = packet.properties
          say(`content type ${had.contentType}`)
          say(`response topic ${had.responseTopic}`)
          say(`correlation data ${String.fromCharCode(...had.correlationData)}`)
          // MQTT.js gathers the values of one name, and sends and shows them together.
          const { a, b } = had.userProperties
          const pairs = [`a=${a[0]}`, `b=${b}`, `a=${a[1]}`]
          say(`user properties ${pairs.join(' ')}`)
          say(`format ${Number(had.payloadFormatIndicator)}`)
          say(`expires ${had.messageExpiryInterval > 0 && had.messageExpiryInterval <= 60}`)
          say(`identifier ${had.subscriptionIdentifier}`)
          client.end()
        })
        await client.subscribeAsync(`about/${clientId}`, { qos: 1, properties: { subscriptionIdentifier: 7 } })
        client.publish(`about/${clientId}`, 'described', {
          qos: 1,
          properties: {
            contentType: 'text/plain',
            responseTopic: 'answers',
            correlationData: new TextEncoder().encode('17'),
            userProperties: { a: ['1', '3'], b: '2' },
            payloadFormatIndicator: true,
            messageExpiryInterval: 60,
          },
        })
      },
    }
  }
})(globalThis)
