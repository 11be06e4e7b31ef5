// Command jwt calls the gateway with JWTs in place of an API key. They expire, so
// golang.org/x/oauth2 gets a new one shortly before.
//
//	go -C examples/jwt run .
package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
	"golang.org/x/oauth2"
)

func main() {
	gateway := portkeytest.Start()
	defer gateway.Close()
	issuer, err := newIssuer(time.Hour)
	if err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), os.Stdout, gateway.URL(), issuer); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, gatewayURL string, tokens oauth2.TokenSource) error {
	// ReuseTokenSource returns a cached token until 10 s before it expires.
	client, err := portkey.WrapClient(nil, portkey.Options{
		BaseURL:      gatewayURL,
		APIKeySource: keySource(oauth2.ReuseTokenSource(nil, tokens)),
	})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://api.openai.com/v1/models", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = fmt.Fprintln(out, resp.Status)
	return err
}

// keySource makes a source of API keys of a source of tokens.
func keySource(tokens oauth2.TokenSource) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		token, err := tokens.Token()
		if err != nil {
			return "", err
		}
		return token.AccessToken, nil
	}
}

// An issuer stands for the service that issues JWTs: yours, whose public key Portkey knows.
type issuer struct {
	key      *rsa.PrivateKey
	lifetime time.Duration
}

func newIssuer(lifetime time.Duration) (*issuer, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	return &issuer{key, lifetime}, err
}

// Token returns a new JWT, signed with RS256. Portkey demands the claim exp.
func (i *issuer) Token() (*oauth2.Token, error) {
	expiry := time.Now().Add(i.lifetime)
	claims, err := json.Marshal(map[string]any{
		"portkey_oid": "organization", "portkey_workspace": "workspace", "scope": []string{"completions.write"},
		"iat": time.Now().Unix(), "exp": expiry.Unix(),
	})
	if err != nil {
		return nil, err
	}
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"RS256","typ":"JWT","kid":"key-1"}`)) + "." + encode(claims)
	digest := sha256.Sum256([]byte(signed))
	signature, err := rsa.SignPKCS1v15(rand.Reader, i.key, crypto.SHA256, digest[:])
	if err != nil {
		return nil, err
	}
	return &oauth2.Token{AccessToken: signed + "." + encode(signature), Expiry: expiry}, nil
}
