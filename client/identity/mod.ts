/** Who this device is, whom it knows, and how two people make sure of each other. */

export {
  CERTIFICATE_BACKDATE_MS,
  CERTIFICATE_LIFETIME_MS,
  CERTIFICATE_RENEWAL_MS,
  certificatesEndMs,
  certificatesNeedRenewal,
  createLocalIdentity,
  decodeIdentity,
  encodeIdentity,
  localDevice,
  type LocalIdentity,
  renewCertificates,
} from "./identity.ts";
export {
  acceptChange,
  checkContact,
  type Contact,
  type ContactState,
  decodeContact,
  encodeContact,
  markVerified,
  noteChange,
  pinContact,
  type PublicIdentity,
} from "./contacts.ts";
export {
  acceptAnswer,
  answerFor,
  cleanLabel,
  type LinkAnswer,
  type LinkPlace,
  type LinkRequest,
  newDeviceKeys,
  openAnswer,
  openRequest,
  requestFor,
  sealAnswer,
  sealRequest,
} from "./linking.ts";
export { safetyNumber, verificationFits, verificationText } from "./safety_number.ts";
