package dev.rhumb.interpret;

/**
 * How well a column stands for an attribute. What is called held out comes from users other than
 * those on which the column was chosen.
 *
 * @param attribute the attribute's name
 * @param rank place of the column among those for the attribute, from 1, by the chosen correlation
 * @param column the column, or feature
 * @param chosenCorrelation Pearson's r on the users on which the column was chosen
 * @param correlation Pearson's r, held out
 * @param auc ROC-AUC, held out
 * @param firesGivenAttribute P(fires | attribute), held out
 * @param attributeGivenFires P(attribute | fires), held out
 * @param pValue of no covariance, held out
 * @param significant whether it is, at a false discovery rate of 5 % among all pairs that were
 *     chosen along with it
 */
public record AttributeScore(
    String attribute,
    int rank,
    int column,
    double chosenCorrelation,
    double correlation,
    double auc,
    double firesGivenAttribute,
    double attributeGivenFires,
    double pValue,
    boolean significant) {
  AttributeScore withSignificant(boolean significant) {
    return new AttributeScore(
        attribute,
        rank,
        column,
        chosenCorrelation,
        correlation,
        auc,
        firesGivenAttribute,
        attributeGivenFires,
        pValue,
        significant);
  }
}
