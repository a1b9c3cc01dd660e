// Package registrar decides which agent may have a key (docs/enrolment.md §5, §6).
// A Master decides by its keys and its agent database; a Worker asks its master.
// Both answer the local socket, of which the server is here (docs/enrolment.md §9).
package registrar
