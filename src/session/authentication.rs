//! The AUTH exchange of MQTT 5: challenge and response, before CONNACK and again later.

use std::collections::HashMap;

use bytes::Bytes;
use bytestring::ByteString;

use crate::protocol::{Auth, AuthProperties, ReasonCode};

/// A method of extended authentication, by the name in Authentication Method.
pub trait Method: Send + Sync {
    /// A client begins an exchange, with the data of its CONNECT or AUTH.
    fn begin(&self, client_id: &str, data: Option<Bytes>) -> Box<dyn Exchange>;
}

/// One exchange in progress.
pub trait Exchange: Send {
    /// The client's data: the first time what `begin` was given, then what each AUTH brings.
    fn proceed(&mut self, data: Option<Bytes>) -> Step;
}

/// What an exchange says to the client's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A challenge goes out with AUTH 0x18 [MQTT-4.12.0-2].
    Challenge(Bytes),
    /// The client is who it says; this data goes with CONNACK or AUTH 0x00.
    Accept(Option<Bytes>),
    /// It is not.
    Refuse,
}

/// The methods a broker offers. None is built in.
#[derive(Default)]
pub struct Methods {
    by_name: HashMap<String, Box<dyn Method>>,
}

impl std::fmt::Debug for Methods {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_set().entries(self.by_name.keys()).finish()
    }
}

impl Methods {
    /// Offers a method under a name.
    pub fn offer(&mut self, name: &str, method: Box<dyn Method>) {
        self.by_name.insert(name.to_owned(), method);
    }

    /// Begins the exchange that a CONNECT asks for.
    ///
    /// # Errors
    /// Bad authentication method when there is no such method [MQTT-4.12.0-1].
    pub fn begin(
        &self,
        name: &ByteString,
        client_id: &str,
        data: Option<Bytes>,
    ) -> Result<(Authentication, Step), ReasonCode> {
        let method = self.by_name.get(&**name).ok_or(ReasonCode::BadAuthenticationMethod)?;
        let mut exchange = method.begin(client_id, data.clone());
        let step = exchange.proceed(data);
        Ok((Authentication { method: name.clone(), exchange }, step))
    }
}

/// An exchange and the method it goes by.
pub struct Authentication {
    method: ByteString,
    exchange: Box<dyn Exchange>,
}

impl std::fmt::Debug for Authentication {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authentication").field("method", &self.method).finish_non_exhaustive()
    }
}

impl Authentication {
    /// The Authentication Method, which every packet of the exchange repeats [MQTT-4.12.0-5].
    #[must_use]
    pub fn method(&self) -> &ByteString {
        &self.method
    }

    /// The client went on with AUTH.
    ///
    /// # Errors
    /// Protocol Error when the packet is not of this exchange.
    pub fn proceed(&mut self, auth: Auth) -> Result<Step, ReasonCode> {
        if auth.properties.authentication_method.as_ref() != Some(&self.method) {
            return Err(ReasonCode::ProtocolError);
        }
        Ok(self.exchange.proceed(auth.properties.authentication_data))
    }

    /// The AUTH packet that carries a step to the client.
    #[must_use]
    pub fn packet(&self, reason: ReasonCode, data: Option<Bytes>) -> Auth {
        Auth {
            reason,
            properties: AuthProperties {
                authentication_method: Some(self.method.clone()),
                authentication_data: data,
                ..AuthProperties::default()
            },
        }
    }
}
