// Package reader opens connections with credentials that rotate: read from Secrets Manager, kept for a while, read
// again when refused.
package reader

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

type Document struct {
	Host     string `json:"host"`
	Database string `json:"dbname"`
	Username string `json:"username"`
	Password string `json:"password"`
}

type Credentials struct {
	Client   *secretsmanager.Client
	SecretID string
	// Keep is less than the rotation's min_interval.
	Keep time.Duration

	mutex    sync.Mutex
	document Document
	until    time.Time
}

func (c *Credentials) current(ctx context.Context) (Document, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if time.Now().Before(c.until) {
		return c.document, nil
	}
	answer, err := c.Client.GetSecretValue(ctx, &secretsmanager.GetSecretValueInput{SecretId: &c.SecretID})
	if err != nil {
		return Document{}, err
	}
	var document Document
	if err := json.Unmarshal([]byte(*answer.SecretString), &document); err != nil {
		return Document{}, err
	}
	c.document, c.until = document, time.Now().Add(c.Keep)
	return c.document, nil
}

func (c *Credentials) forget() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.until = time.Time{}
}

func (c *Credentials) open(ctx context.Context) (*pgx.Conn, error) {
	it, err := c.current(ctx)
	if err != nil {
		return nil, err
	}
	config, err := pgx.ParseConfig("sslmode=verify-full")
	if err != nil {
		return nil, err
	}
	config.Host, config.Database, config.User, config.Password = it.Host, it.Database, it.Username, it.Password
	return pgx.ConnectConfig(ctx, config)
}

// Connect opens a connection. Refused credentials are read again, and tried once more.
func (c *Credentials) Connect(ctx context.Context) (*pgx.Conn, error) {
	connection, err := c.open(ctx)
	var refused *pgconn.PgError
	// Class 28 of SQLSTATE: invalid authorization.
	if errors.As(err, &refused) && refused.Code[:2] == "28" {
		c.forget()
		return c.open(ctx)
	}
	return connection, err
}
