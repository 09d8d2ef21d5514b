package main

// The authorities of the public web, for where the system has none, as in an image
// made FROM scratch: the nodestub reads descriptors of other domains over https.
// Where the system has some, or SSL_CERT_FILE names them, those count.
import _ "golang.org/x/crypto/x509roots/fallback"
